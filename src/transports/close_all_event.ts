/** The event that `closeAll` announces, in JSON as ChannelPy announces it. */
export const closeAllEvent: Uint8Array = new TextEncoder().encode(`"close"`);

/** Reports whether an announced event is that of `closeAll`. */
export function isCloseAllEvent(event: Uint8Array): boolean {
  return event.length === closeAllEvent.length &&
    event.every((byte, i) => byte === closeAllEvent[i]);
}
