/** Error codes of RFC 9113 §7, by the names that the RFC gives them; node:http2 need not be loaded to say one. */
export const CODES = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  SETTINGS_TIMEOUT: 4,
  CANCEL: 8,
  ENHANCE_YOUR_CALM: 11,
} as const;
