/** So many are kept, none of them longer than this. */
const SPARE = 4;
const LONGEST = 4 * 1024 * 1024;
const STEP = 64 * 1024;

/**
 * Memory of bodies that are done with, as they came over the wire. V8 counts what lies outside its heap too, and collects
 * all of it each time a dozen MB were asked for: bodies in new memory each would be most of the reason. One pool for the
 * process, since that is what the collector serves.
 */
const spare: Buffer[] = [];

/** At least `length` bytes, with anything in them. */
export function takeBytes(length: number): Buffer {
  const at = spare.findIndex((buffer) => buffer.length >= length);
  const [found] = at < 0 ? [] : spare.splice(at, 1);
  return found ?? Buffer.allocUnsafeSlow(Math.max(1, Math.ceil(length / STEP)) * STEP);
}

/** Keeps the memory that `bytes` is a part of for the next who takes some; nothing may be read from it any more. */
export function giveBytesBack({ buffer }: Buffer): void {
  if (buffer.byteLength > LONGEST || !(buffer instanceof ArrayBuffer)) return;
  if (spare.length < SPARE) spare.push(Buffer.from(buffer));
  else {
    // The longer ones serve more bodies.
    const shortest = spare.reduce((a, b) => (b.length < a.length ? b : a));
    if (shortest.length < buffer.byteLength) spare[spare.indexOf(shortest)] = Buffer.from(buffer);
  }
}
