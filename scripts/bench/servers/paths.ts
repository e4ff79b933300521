// What programs ask of the receiver besides taking spans.

/** Begins a measurement. */
export const beginPath = "/begin"
