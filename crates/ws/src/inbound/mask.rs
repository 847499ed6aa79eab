//! Taking the client's mask off a payload.

/// A masking key, turned so that its first byte is due for the next byte of the payload.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Mask([u8; 4]);

/// One AVX2 register, two of SSE2 or NEON: the loop over it compiles to vector instructions.
const BLOCK: usize = 32;

impl Mask {
    pub(super) fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Unmasks the next `payload.len()` bytes of the frame in place.
    pub(super) fn apply(&mut self, payload: &mut [u8]) {
        let mut key = [0; BLOCK];
        for (i, byte) in key.iter_mut().enumerate() {
            *byte = self.0[i % 4];
        }
        let turn = payload.len() % 4;
        let (blocks, rest) = payload.as_chunks_mut::<BLOCK>();
        for block in blocks {
            for (byte, key) in block.iter_mut().zip(key) {
                *byte ^= key;
            }
        }
        for (byte, key) in rest.iter_mut().zip(key) {
            *byte ^= key;
        }
        self.0.rotate_left(turn);
    }
}

#[cfg(test)]
mod tests {
    use super::Mask;

    const KEY: [u8; 4] = [0x11, 0x52, 0xA3, 0xF4];

    fn byte_by_byte(payload: &[u8]) -> Vec<u8> {
        payload.iter().enumerate().map(|(i, byte)| byte ^ KEY[i % 4]).collect()
    }

    #[test]
    fn every_length_and_every_cut_agrees_with_the_definition() {
        for length in 0..=100_u8 {
            let payload: Vec<u8> = (0..length).map(|i| i.wrapping_mul(37)).collect();
            for cut in 0..=payload.len() {
                let mut unmasked = payload.clone();
                let mut mask = Mask::new(KEY);
                let (head, tail) = unmasked.split_at_mut(cut);
                mask.apply(head);
                mask.apply(tail);
                assert_eq!(unmasked, byte_by_byte(&payload), "{length} bytes cut at {cut}");
            }
        }
    }
}
