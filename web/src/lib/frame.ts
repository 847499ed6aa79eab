/** Asks for a call before the next repaint, as `requestAnimationFrame` does. */
export type RequestFrame = (draw: () => void) => void;

/**
 * Turns any number of changes into one call of `draw` per frame, so that the cost of drawing does not depend on how
 * fast measurements come.
 */
export function oncePerFrame(draw: () => void, request: RequestFrame = (action) => requestAnimationFrame(action)): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    request(() => {
      asked = false;
      draw();
    });
  };
}
