import { RuntimeTimer } from "../../remote/runtime_timer.ts";

/**
 * Asks one after the other, and the next one also if the last has not answered for a time: a host that is off keeps nobody waiting.
 * Resolves with the first answer that is accepted; undefined if there is none.
 *
 * @param ask its rejection is an answer that is not accepted
 * @param ms the time in milliseconds after which the next one is asked
 */
export function firstAnswer<C, A>(
  candidates: readonly C[],
  ask: (candidate: C) => Promise<A>,
  isAccepted: (answer: A) => boolean,
  ms: number,
): Promise<A | undefined> {
  return new Promise((resolve) => {
    let next = 0;
    let pending = 0;
    let isOver = false;
    let timer: RuntimeTimer | undefined;
    const end = (answer?: A) => {
      isOver = true;
      timer?.stop();
      resolve(answer);
    };
    const begin = () => {
      timer?.stop();
      if (isOver) return;
      if (next === candidates.length) {
        if (pending === 0) end();
        return;
      }
      pending++;
      ask(candidates[next++]!).then(
        (answer) => !isOver && isAccepted(answer) && end(answer),
        () => {}, // whoever asks keeps the reason
      ).finally(() => {
        pending--;
        begin();
      });
      timer = new RuntimeTimer(begin, ms);
      timer.unref();
    };
    begin();
  });
}
