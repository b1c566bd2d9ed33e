/** Values for measuring the codec: values of one kind, which differ as the messages of a channel do. */
export interface Payload {
  readonly label: string;
  /** Used in turn: enough values that no codec benefits from repeated texts that would not repeat in practice. */
  readonly values: readonly unknown[];
  /** Whether JSON cannot carry the values. */
  readonly beyondJson?: boolean;
  /** Whether the values contain more than JSON's types and bytes. */
  readonly needsMoreTypes?: boolean;
}

const VARIANTS = 1024;

/** The payloads by the names that select them. */
export const payloads: Readonly<Record<string, Payload>> = {
  number: { label: "small number", values: several(VARIANTS, (i) => i % 8) },
  string: {
    label: "short string",
    values: several(VARIANTS, (i) => `user-${100_000 + 7919 * i}x`),
  },
  object: { label: "small object", values: several(VARIANTS, job) },
  record: { label: "1 KB record", values: several(VARIANTS, record) },
  records: {
    label: "100 KB of records",
    values: several(16, (i) => several(100, (j) => record(100 * i + j))),
  },
  bytes: {
    label: "1 MB of bytes",
    values: [new Uint8Array(1_000_000).map((_, i) => i)],
    beyondJson: true,
  },
  mix: {
    label: "Map, Set and Date",
    values: several(VARIANTS, mix),
    beyondJson: true,
    needsMoreTypes: true,
  },
};

function several<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i));
}

function job(i: number): unknown {
  return {
    id: 1000 + i,
    task: `resize-${i}`,
    urgent: i % 3 === 0,
    size: { width: 320 + i, height: 200 + i },
  };
}

function record(i: number): unknown {
  return {
    id: 1_700_000_000_000 + 997 * i,
    key: `order-${(7919 * i + 12_345).toString(36)}-${i}`,
    status: ["new", "paid", "packed", "shipped"][i % 4],
    total: 1999 + i / 100,
    discount: i % 5 === 0 ? null : 0.15,
    priority: i % 10,
    gift: i % 2 === 0,
    customer: {
      id: 50_000 + i,
      name: ["Ada Lovelace", "Grace Hopper", "Zoë Müller", "Edsger Dijkstra"][i % 4],
      email: `customer.${i}@mail.example.org`,
      address: {
        street: `${1 + i % 200} Analytical Engine Road`,
        city: ["London", "Arlington", "Zürich", "Rotterdam"][i % 4],
        zip: `${10_000 + 37 * i}`,
        location: [51.5 + i / 1000, -0.12 - i / 1000],
      },
    },
    items: several(4, (j) => ({
      sku: `SKU-${1000 + 31 * i + j}`,
      title: ["Brass gear, 40 teeth", "Punched cards (500)", "Difference wheel", "Lamp oil"][j],
      quantity: 1 + (i + j) % 7,
      price: 4.99 + j,
      tags: ["spare part", "metal", "in stock"].slice(0, 1 + j % 3),
    })),
    note:
      `Please ring twice and leave the parcel with the neighbour of flat ${i}, who is at home until six.`,
    createdAt: new Date(1_750_000_000_000 + 60_000 * i).toISOString(),
    updatedAt: new Date(1_750_000_400_000 + 61_000 * i).toISOString(),
  };
}

function mix(i: number): unknown {
  return {
    at: new Date(1_750_000_000_000 + 1001 * i),
    seen: new Set(several(10, (j) => `user-${i + j}`)),
    counts: new Map(several(10, (j) => [`page-${i + j}`, 100 * j + i])),
    dates: new Map(several(3, (j) => [j, new Date(1_700_000_000_000 + 86_400_000 * j + i)])),
  };
}
