/** How often a property is tried: bounded for every day; more with FUZZ_RUNS. */
export function runs(everyDay: number): { readonly numRuns: number } {
  const wanted = Number(process.env["FUZZ_RUNS"] ?? "");
  return { numRuns: Number.isSafeInteger(wanted) && wanted > 0 ? wanted : everyDay };
}
