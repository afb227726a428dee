/** So many are kept, none of them longer than this, and so much in all. */
const SPARE = 128;
const LONGEST = 4 * 1024 * 1024;
const MOST = 12 * 1024 * 1024;
const STEP = 16 * 1024;

/**
 * Memory of bodies that are done with, as they came over the wire. V8 counts memory outside its heap too and collects
 * everything after each dozen MB of it, which bodies in new memory would soon reach. One pool for the process, as there
 * is one collector. A batch whose entries may all be known gives back fifty bodies at once.
 */
const spare: Buffer[] = [];
let held = 0;

/** At least `length` bytes, with anything in them. */
export function takeBytes(length: number): Buffer {
  for (let at = spare.length - 1; at >= 0; at -= 1) {
    const found = spare[at] as Buffer;
    if (found.length < length) continue;
    spare.splice(at, 1);
    held -= found.length;
    return found;
  }
  return Buffer.allocUnsafeSlow(Math.max(1, Math.ceil(length / STEP)) * STEP);
}

/** Keeps the memory that `bytes` is a part of for the next who takes some; nothing may be read from it any more. */
export function giveBytesBack({ buffer }: Buffer): void {
  const { byteLength } = buffer;
  if (byteLength > LONGEST || !(buffer instanceof ArrayBuffer)) return;
  spare.push(Buffer.from(buffer));
  held += byteLength;
  // The longer ones serve more bodies.
  while (spare.length > SPARE || held > MOST) {
    const shortest = spare.reduce((a, b) => (b.length < a.length ? b : a));
    spare.splice(spare.indexOf(shortest), 1);
    held -= shortest.length;
  }
}
