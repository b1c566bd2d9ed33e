/** The numbers of the operations that claims and room waiters belong to. */
export class Groups {
  readonly #numbers = new WeakMap<object, number>();
  #last = 0;

  numberOf(group: object): number {
    let number = this.#numbers.get(group);
    if (number === undefined) this.#numbers.set(group, number = ++this.#last);
    return number;
  }
}
