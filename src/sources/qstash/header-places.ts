const QUOTE = 34;
const COMMA = 44;
const COLON = 58;
const OPEN_ARRAY = 91;
const CLOSE_ARRAY = 93;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;
/** Places of a header: its name's from and to, its value's from and to, without quotes. */
export const HEADER = 4;
const FIRST_HEADERS = 64;

/** Where the names and values of headers stand: of a JSON object of lists of one string each, as they nearly always are. */
export class HeaderPlaces {
  /** How many headers were found. */
  length = 0;
  places = new Int32Array(FIRST_HEADERS * HEADER);

  /** Finds the headers of an object without escapes or white space that stands from `from` to `to`; false where it is anything else. */
  find(bytes: Buffer, from: number, to: number): boolean {
    this.length = 0;
    if (bytes[from] !== OPEN_OBJECT) return false;
    let at = from + 1;
    if (bytes[at] === CLOSE_OBJECT) return at + 1 === to;
    for (;;) {
      if (bytes[at] !== QUOTE) return false;
      const nameTo = bytes.indexOf(QUOTE, at + 1);
      if (bytes[nameTo + 1] !== COLON || bytes[nameTo + 2] !== OPEN_ARRAY || bytes[nameTo + 3] !== QUOTE)
        return false;
      const valueTo = bytes.indexOf(QUOTE, nameTo + 4);
      if (bytes[valueTo + 1] !== CLOSE_ARRAY) return false;
      this.#add(at + 1, nameTo, nameTo + 4, valueTo);
      at = valueTo + 3;
      if (bytes[valueTo + 2] === CLOSE_OBJECT) return at === to;
      if (bytes[valueTo + 2] !== COMMA) return false;
    }
  }

  /** Puts the header of least name, as bytes sort, of those from `first` on at `first`. */
  putLeast(bytes: Buffer, first: number): void {
    let least = first;
    for (let other = first + 1; other < this.length; other += 1)
      if (this.#isLess(bytes, other * HEADER, least * HEADER)) least = other;
    if (least !== first) this.#swap(least * HEADER, first * HEADER);
  }

  #isLess(bytes: Buffer, a: number, b: number): boolean {
    const { places } = this;
    const aFrom = places[a] as number;
    const bFrom = places[b] as number;
    const aLength = (places[a + 1] as number) - aFrom;
    const bLength = (places[b + 1] as number) - bFrom;
    const length = Math.min(aLength, bLength);
    for (let at = 0; at < length; at++) {
      const order = (bytes[aFrom + at] as number) - (bytes[bFrom + at] as number);
      if (order !== 0) return order < 0;
    }
    return aLength < bLength;
  }

  #swap(a: number, b: number): void {
    const { places } = this;
    for (let at = 0; at < HEADER; at++) {
      const kept = places[a + at] as number;
      places[a + at] = places[b + at] as number;
      places[b + at] = kept;
    }
  }

  #add(nameFrom: number, nameTo: number, valueFrom: number, valueTo: number): void {
    const at = this.length * HEADER;
    if (at === this.places.length) {
      const grown = new Int32Array(at * 2);
      grown.set(this.places);
      this.places = grown;
    }
    const { places } = this;
    places[at] = nameFrom;
    places[at + 1] = nameTo;
    places[at + 2] = valueFrom;
    places[at + 3] = valueTo;
    this.length += 1;
  }
}
