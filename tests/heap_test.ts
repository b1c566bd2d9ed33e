import { deepEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { Heap } from "../src/shared/heap.ts";

interface Element {
  readonly rank: number;
  readonly order: number;
  place: number;
}

const precedes = (a: Element, b: Element) =>
  a.rank < b.rank || a.rank === b.rank && a.order < b.order;

Deno.test("a heap returns its elements in order, whatever is added and removed meanwhile", () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("push" as const), rank: fc.integer({ min: 0, max: 9 }) }),
    fc.record({ do: fc.constant("remove" as const), which: fc.nat(60) }),
    fc.record({ do: fc.constant("shift" as const) }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const heap = new Heap<Element>(precedes);
    const all: Element[] = [];
    let model: Element[] = [];
    for (const one of steps) {
      const first = model.toSorted((a, b) => precedes(a, b) ? -1 : 1)[0];
      equal(heap.peek(), first);
      if (one.do === "push") {
        const element = { rank: one.rank, order: all.length, place: -1 };
        all.push(element);
        model.push(element);
        heap.push(element);
      } else if (one.do === "shift") {
        equal(heap.shift(), first);
        model = model.filter((each) => each !== first);
      } else {
        const element = all[one.which];
        if (element === undefined) continue;
        equal(heap.remove(element), model.includes(element));
        model = model.filter((each) => each !== element);
      }
      equal(heap.size, model.length);
      for (const element of all) equal(element.place >= 0, model.includes(element));
    }
    const rest = model.map(() => heap.shift());
    deepEqual(rest, model.toSorted((a, b) => precedes(a, b) ? -1 : 1));
  }));
});

Deno.test("a cleared heap has none of its elements any more", () => {
  const heap = new Heap<Element>(precedes);
  const elements = [3, 1, 2].map((rank, order) => ({ rank, order, place: -1 }));
  for (const element of elements) heap.push(element);
  heap.clear();
  deepEqual([heap.size, heap.peek(), heap.shift()], [0, undefined, undefined]);
  deepEqual(elements.map((element) => heap.remove(element)), [false, false, false]);
  heap.push(elements[0]!);
  equal(heap.shift(), elements[0]);
});
