/**
 * The story of Postern, told by the real thing: every line is checked on what was really answered, and one that
 * does not hold makes the demo fail. Reads well without colours and without a terminal.
 */
import { readFileSync, writeFileSync } from "node:fs";
import type { Clock } from "../../runtime/clock.ts";
import { describe } from "../../runtime/error.ts";
import { addressText } from "../address.ts";
import { problemText } from "../files/problem.ts";
import { type Answer, ask } from "./ask.ts";
import type { DevEnvironment } from "./environment.ts";
import type { FolderLoaded } from "./file-cluster.ts";

export interface DemoOptions {
  readonly dev: DevEnvironment;
  readonly policyFile: string;
  /** Resolves with what the folder's next change brought. */
  readonly nextLoaded: (signal: AbortSignal) => Promise<FolderLoaded>;
  readonly clock: Clock;
  readonly write: (text: string) => void;
  readonly signal: AbortSignal;
}

/** How long a change may take until the demo calls it a failure; the promise is a second. */
const ENFORCED_WITHIN_MS = 1_000;
const BACK_WITHIN_MS = 15_000;
const READ_RULE = "any: [orders:read, orders:write]";
const STRICT_RULE = "all: [orders:read, orders:audit]";

type Step = () => Promise<string>;

export async function playDemo(options: DemoOptions): Promise<boolean> {
  const { dev, write } = options;
  const steps = createSteps(options);
  write(`\nPostern's story in ${steps.length} steps, played by the real parts on this machine:\n`);
  write(`  policy    ${options.policyFile}\n  bus       ${dev.bus.sentence}\n`);
  write(`  sidecars  ${dev.sidecars.map(({ address }) => addressText(address)).join("  ")}\n\n`);
  let failed = 0;
  for (const [index, { title, step }] of steps.entries()) {
    const number = String(index + 1).padStart(2);
    try {
      const result = await step();
      write(`${number}  ok    ${title}\n            ${result}\n`);
    } catch (error) {
      failed += 1;
      write(`${number}  FAIL  ${title}\n            ${describe(error)}\n`);
      options.signal.throwIfAborted();
    }
  }
  write(
    failed === 0
      ? `\nAll ${steps.length} steps went as told. Now try it yourself: npm start\n`
      : `\n${failed} of ${steps.length} steps did not go as told.\n`,
  );
  return failed === 0;
}

function createSteps(
  options: DemoOptions,
): readonly { readonly title: string; readonly step: Step }[] {
  const { dev, policyFile, clock, signal } = options;
  const urls = dev.sidecars.map(({ address }) => `http://${addressText(address)}`);
  const first = urls[0] ?? "";

  const get = async (scope: string | undefined, path: string, base = first): Promise<Answer> =>
    ask(
      { url: `${base}${path}`, ...(scope !== undefined && { token: await token(scope) }) },
      signal,
    );
  const token = (scope: string): Promise<string> => dev.issuer.token({ scope });

  const untouched = async (expected: string, request: () => Promise<Answer>): Promise<string> => {
    const before = dev.service.received;
    const answer = await request();
    expect(answered(answer), expected);
    expect(`${dev.service.received - before} requests reached the service`, NOBODY);
    return `answered ${answered(answer)}; the service never saw it`;
  };

  /** Saves, and asks every sidecar until each decides by the new policy. */
  const edit = async (
    change: (text: string) => string,
    expected: string,
    withinMs: number,
  ): Promise<string> => {
    const readToken = await token("orders:read");
    writeFileSync(policyFile, change(readFileSync(policyFile, "utf8")));
    const savedAtMs = clock.now();
    for (const url of urls) {
      let now = "";
      while (now !== expected) {
        const tookMs = clock.now() - savedAtMs;
        if (tookMs > withinMs) {
          throw new Error(`${url} still answers ${now} after ${tookMs} ms, expected ${expected}`);
        }
        now = answered(await ask({ url: `${url}/orders/1`, token: readToken }, signal));
      }
    }
    return `enforced by ${urls.length} of ${urls.length} sidecars ${clock.now() - savedAtMs} ms after the save`;
  };

  const steps: { readonly title: string; readonly step: Step }[] = [
    {
      title: "A request without a token is refused",
      step: () => untouched("401 authn.missing", () => get(undefined, "/orders/1")),
    },
    {
      title: "The same request with a token (scope orders:read) is let through",
      step: async () => {
        const answer = await get("orders:read", "/orders/1");
        expect(answered(answer), "200");
        expect(String(answer.body.includes('"by":"alice"')), "true");
        return `answered 200 by the service, which learns who is calling: ${answer.body.trim()}`;
      },
    },
    {
      title: "With that token nothing can be created: the scope is wrong",
      step: () =>
        untouched("403 authz.scope", async () =>
          ask(
            { url: `${first}/orders`, method: "POST", token: await token("orders:read") },
            signal,
          ),
        ),
    },
    {
      title: "What no rule declares cannot be called, whatever the token says",
      step: () =>
        untouched("403 operation.undeclared", () => get("orders:write", "/internal/keys")),
    },
    {
      title: "The policy is edited: reading now needs the scope orders:audit, too",
      step: () =>
        edit(
          (text) => text.replaceAll(READ_RULE, STRICT_RULE),
          "403 authz.scope",
          ENFORCED_WITHIN_MS,
        ),
    },
    {
      title: "A broken edit is refused with the field's name, and the policy before stays",
      step: async () => {
        const good = readFileSync(policyFile, "utf8");
        const next = options.nextLoaded(signal);
        writeFileSync(policyFile, good.replace("undeclared:", "undeclred:"));
        const loaded = await next;
        expect(loaded.kind, "refused");
        const said = loaded.problems.map(problemText).join("; ");
        expect(String(said.includes('unknown field "spec.operations.undeclred"')), "true");
        expect(answered(await get("orders:read", "/orders/1")), "403 authz.scope");
        const corrected = options.nextLoaded(signal);
        writeFileSync(policyFile, good);
        expect((await corrected).kind === "refused" ? "refused" : "taken", "taken");
        return said.slice(said.lastIndexOf("/") + 1);
      },
    },
  ];
  const { process } = dev.bus;
  if (process !== undefined) {
    steps.push(
      {
        title: "NATS is killed (kill -9): requests are still decided, by the last verified policy",
        step: async () => {
          const { pid } = process;
          await process.kill();
          for (const url of urls) {
            expect(answered(await get(undefined, "/orders/1", url)), "401 authn.missing");
            expect(answered(await get("orders:read", "/orders/1", url)), "403 authz.scope");
            expect(answered(await get("orders:read orders:audit", "/orders/1", url)), "200");
          }
          return `process ${pid} is gone; every sidecar answers 401, 403 and 200 as before`;
        },
      },
      {
        title: "NATS is back, and the next edit is enforced",
        step: async () => {
          await process.restart(signal);
          return edit((text) => text.replaceAll(STRICT_RULE, READ_RULE), "200", BACK_WITHIN_MS);
        },
      },
    );
  }
  return steps;
}

const NOBODY = "0 requests reached the service";

function answered({ status, code }: Answer): string {
  return code === "" ? String(status) : `${status} ${code}`;
}

function expect(found: string, expected: string): void {
  if (found !== expected) throw new Error(`expected ${expected}, found ${found}`);
}
