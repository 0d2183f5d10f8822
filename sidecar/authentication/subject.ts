/** Who is calling, as one layer's provider has verified it. */
import type { HeaderLine } from "../exchange.ts";

export interface Subject {
  /** The `sub` claim, where there is one. */
  readonly id: string | undefined;
  /** Name of the provider within its policy. */
  readonly provider: string;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly scopes: ReadonlySet<string>;
  /** What the application is told of it. */
  readonly identityHeaders: readonly HeaderLine[];
}
