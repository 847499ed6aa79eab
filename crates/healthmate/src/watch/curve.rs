//! A waveform as one line of text.

/// From the lowest to the highest.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The smallest and the largest of `samples`, and of `range` if there is one; `None` where there is no sample at all.
pub(super) fn widened(range: Option<(f64, f64)>, samples: &[Option<f64>]) -> Option<(f64, f64)> {
    samples.iter().flatten().fold(range, |range, sample| {
        let (low, high) = range.unwrap_or((*sample, *sample));
        Some((low.min(*sample), high.max(*sample)))
    })
}

/// Draws `samples` in at most `columns` columns between the values of `range`. A column shows the sample that is
/// farthest from the middle of the range, so that no peak is lost, and a blank where there is none.
pub(super) fn draw(samples: &[Option<f64>], columns: usize, range: (f64, f64)) -> String {
    let (low, high) = range;
    let middle = f64::midpoint(low, high);
    let per_column = samples.len().div_ceil(columns.max(1)).max(1);
    let column = |samples: &[Option<f64>]| {
        let farther = |a: &f64, b: &f64| (a - middle).abs().total_cmp(&(b - middle).abs());
        let Some(sample) = samples.iter().flatten().copied().max_by(farther) else { return ' ' };
        let part = if high > low { (sample - low) / (high - low) } else { 0.0 };
        // Within 0 to 7: the range holds every sample.
        let level = (part * (LEVELS.len() - 1) as f64).round();
        LEVELS.get(level as usize).copied().unwrap_or('█')
    };
    samples.chunks(per_column).map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_and_highest_samples_are_the_ends_and_a_missing_one_is_a_blank() {
        let samples = [Some(0.0), Some(7.0), None, Some(3.0)];
        let range = widened(None, &samples).expect("there are samples");
        assert_eq!(range, (0.0, 7.0));
        assert_eq!(draw(&samples, 80, range), "▁█ ▄");
    }

    #[test]
    fn a_peak_is_seen_however_few_the_columns() {
        let mut samples = [Some(0.1); 100];
        samples[37] = Some(1.0);
        samples[62] = Some(-0.4);
        assert_eq!(draw(&samples, 10, (-0.4, 1.0)), "▄▄▄█▄▄▁▄▄▄");
    }

    #[test]
    fn a_flat_line_and_nothing_at_all_can_be_drawn() {
        assert_eq!(draw(&[Some(2.0), Some(2.0)], 8, (2.0, 2.0)), "▁▁");
        assert_eq!(widened(None, &[None]), None);
        assert_eq!(widened(Some((0.0, 1.0)), &[Some(-1.0)]), Some((-1.0, 1.0)));
    }
}
