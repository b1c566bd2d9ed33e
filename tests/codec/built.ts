import { ERRORS, type Graph, type Node, PROTOTYPES, type Slot, VIEWS } from "./graphs.ts";
import { isLengthTracking } from "./length_tracking.ts";
import { objectsIn } from "./objects_in.ts";

type BufferNode = Extract<Node, { kind: "buffer" }>;
type ViewNode = Extract<Node, { kind: "view" }>;
type ArrayNode = Extract<Node, { kind: "array" }>;
type View = ArrayBufferView<ArrayBuffer>;
type ValueOf = (slot: Slot) => unknown;

/** Builds the value that a graph describes. */
export function build(graph: Graph): unknown {
  return buildWith(graph, () => true);
}

/**
 * Builds the same value as it is decoded: if no part of it is a whole buffer (the ArrayBuffer, or a view that shows or
 * tracks all of it), each view of that buffer has a buffer of its own, with just its part. A pooled buffer thus reveals
 * nothing else. This is where the codec departs from structuredClone.
 */
export function buildTrimmed(graph: Graph): unknown {
  const buffers: ArrayBuffer[] = [];
  const found = objectsIn(buildWith(graph, () => true, buffers));
  const wholes = new Set<ArrayBufferLike>();
  for (const object of found) {
    if (object instanceof ArrayBuffer) wholes.add(object);
    if (!ArrayBuffer.isView(object)) continue;
    const { byteLength, buffer } = object;
    if (byteLength === buffer.byteLength || isLengthTracking(object)) wholes.add(buffer);
  }
  return buildWith(graph, (index) => wholes.has(buffers[index]!));
}

function buildWith(
  { nodes, isList }: Graph,
  isWhole: (index: number) => boolean,
  buffers: ArrayBuffer[] = [],
): unknown {
  buffers.push(...nodes.filter((node) => node.kind === "buffer").map(makeBuffer));
  let made = 0;
  const objects: object[] = nodes.map((node) => {
    if (node.kind === "buffer") return buffers[made++]!;
    if (node.kind !== "view") return make(node);
    const index = node.buffer % buffers.length; // NaN if there are no buffers
    const view = makeView(node, buffers[index]);
    return isWhole(index) ? view : trim(view);
  });
  const valueOf = (slot: Slot): unknown =>
    "primitive" in slot ? slot.primitive : objects[slot.node % objects.length];
  nodes.forEach((node, i) => wire(node, objects[i]!, valueOf));
  return isList ? objects : objects[0];
}

function makeBuffer({ bytes, room }: BufferNode): ArrayBuffer {
  const options = room === null ? undefined : { maxByteLength: bytes.length + room };
  const buffer = new ArrayBuffer(bytes.length, options);
  new Uint8Array(buffer).set(bytes);
  return buffer;
}

function makeView({ type, start, size }: ViewNode, buffer = new ArrayBuffer(8)): View {
  const View = VIEWS[type]!;
  const element = View.BYTES_PER_ELEMENT ?? 1;
  const offset = Math.min(start, Math.floor(buffer.byteLength / element)) * element;
  const room = Math.floor((buffer.byteLength - offset) / element);
  // Without a length, the view of a resizable buffer tracks it. Other buffers must consist of whole elements.
  if (size < 0 && buffer.resizable) return new View(buffer, offset);
  return new View(buffer, offset, size < 0 ? room : Math.min(size, room));
}

function trim(view: View): View {
  const { buffer, byteOffset, byteLength } = view;
  return Reflect.construct(view.constructor, [buffer.slice(byteOffset, byteOffset + byteLength)]);
}

/** Creates the object of a node, without the objects that it refers to. */
function make(node: Exclude<Node, BufferNode | ViewNode>): object {
  switch (node.kind) {
    case "object":
      return Object.create(PROTOTYPES[node.prototype]!);
    case "map":
      return new Map();
    case "set":
      return new Set();
    case "date":
      return new Date(node.time);
    case "regexp":
      return new RegExp(node.source, node.flags);
    case "error":
      return new ERRORS[node.type]!(node.message);
    case "aggregate":
      return new AggregateError([], node.message);
    case "dom exception":
      return new DOMException(node.message, node.name);
    case "boxed":
      return Object(node.primitive);
    default:
      return [];
  }
}

/** Adds the properties and items of a node to its object. */
function wire(node: Node, object: object, valueOf: ValueOf): void {
  switch (node.kind) {
    case "object":
      for (const [key, slot] of node.entries) define(object, key, valueOf(slot));
      return;
    case "array":
      return wireArray(node, object as unknown[], valueOf);
    case "long array":
      (object as unknown[]).push(...new Array(node.length).fill(valueOf(node.item)));
      if (!node.hasHole) return; // otherwise its named properties would be dropped, beyond 64 items
      delete (object as unknown[])[node.length >> 1];
      for (const [key, slot] of node.named) define(object, key, valueOf(slot));
      return;
    case "sparse array":
      (object as unknown[]).length = 2 ** 32 - 1; // makes engines store it as a dictionary
      for (const index of node.indices) (object as unknown[])[index] = valueOf(node.item);
      (object as unknown[]).length = node.length;
      return;
    case "map":
      for (const [key, slot] of node.entries) {
        (object as Map<unknown, unknown>).set(valueOf(key), valueOf(slot));
      }
      return;
    case "set":
      for (const slot of node.items) (object as Set<unknown>).add(valueOf(slot));
      return;
    case "aggregate":
      hide(object, "errors", [valueOf(node.error), valueOf(node.error), 1]);
    // falls through
    case "error":
      hide(object, "stack", node.stack);
      if ("name" in node && node.name !== undefined) hide(object, "name", node.name);
      if (node.cause !== undefined) hide(object, "cause", valueOf(node.cause));
  }
}

function wireArray(node: ArrayNode, array: unknown[], valueOf: ValueOf): void {
  for (const item of node.items) {
    if (item === null) array.length++;
    else array.push(valueOf(item));
  }
  array.length += node.tail;
  if (!node.hasNamed) return;
  for (const [key, slot] of node.named) define(array, key, valueOf(slot));
}

/** Assignment would set the prototype if the key is `__proto__`. */
function define(object: object, key: string, value: unknown): void {
  Object.defineProperty(object, key, {
    value,
    enumerable: true,
    writable: true,
    configurable: true,
  });
}

function hide(object: object, key: string, value: unknown): void {
  Object.defineProperty(object, key, { value, writable: true, configurable: true });
}
