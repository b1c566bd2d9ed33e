/**
 * Reports whether a view grows and shrinks with its resizable buffer. This cannot be queried, so the buffer is resized
 * and restored.
 */
export function isLengthTracking(view: ArrayBufferView): boolean {
  const buffer = view.buffer;
  if (!(buffer instanceof ArrayBuffer) || !buffer.resizable) return false;
  const bytes = new Uint8Array(buffer).slice();
  const end = view.byteOffset + view.byteLength;
  if (view.byteLength > 0) {
    buffer.resize(end - 1); // a view of a fixed length is then out of bounds
    const isTracking = !isOutOfBounds(view);
    buffer.resize(bytes.length);
    new Uint8Array(buffer).set(bytes);
    return isTracking;
  }
  buffer.resize(buffer.maxByteLength);
  const isTracking = view.byteLength > 0;
  buffer.resize(bytes.length);
  return isTracking;
}

/** Reports whether a view's buffer is detached, or no longer contains the view. */
function isOutOfBounds(view: ArrayBufferView): boolean {
  try {
    if (view instanceof DataView) view.byteLength;
    else Uint8Array.prototype.indexOf.call(view as Uint8Array, 0);
    return false;
  } catch {
    return true;
  }
}
