/**
 * Whether a view grows and shrinks with its resizable buffer. There is no way to ask, so the buffer
 * is resized and put back.
 */
export function isLengthTracking(view: ArrayBufferView): boolean {
  const buffer = view.buffer;
  if (!(buffer instanceof ArrayBuffer) || !buffer.resizable) return false;
  const bytes = new Uint8Array(buffer).slice();
  const end = view.byteOffset + view.byteLength;
  if (view.byteLength > 0) {
    buffer.resize(end - 1); // a view of a fixed length loses its last byte, and by that all of them
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

/** Whether a view has lost its buffer, or the part of it that it shows. */
function isOutOfBounds(view: ArrayBufferView): boolean {
  try {
    if (view instanceof DataView) view.byteLength;
    else Uint8Array.prototype.indexOf.call(view as Uint8Array, 0);
    return false;
  } catch {
    return true;
  }
}
