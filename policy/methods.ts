/** Methods that a rule can name. CONNECT and TRACE are never forwarded, so no rule can name them. Sorted. */
export const METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"] as const;
