import type { Examination } from "./examination.ts";
import { checkPermissions, checkRuntime } from "./runtime_check.ts";
import { checkSource } from "./source_check.ts";

/** Makes all checks, one after the other. Rejects only when the signal is aborted. */
export async function examine(examination: Examination): Promise<void> {
  const { name, timeout, signal, report } = examination;
  checkRuntime(examination);
  const chosen = await checkSource(examination);
  if (chosen === undefined) return;
  checkPermissions(chosen, examination);
  const { inspector, uri } = chosen;
  if (inspector === undefined) {
    report({ level: "note", about: "connection", what: "this transport cannot be examined" });
    return;
  }
  await inspector.inspect(uri, {
    timeout,
    signal,
    report,
    ...name === undefined ? {} : { name },
  });
}
