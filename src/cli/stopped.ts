/** Resolves once `signal` aborts. Keeps the process alive meanwhile. */
export function stopped(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) return done();
    const alive = setInterval(() => {}, 2 ** 31 - 1);
    signal.addEventListener(
      'abort',
      () => {
        clearInterval(alive);
        done();
      },
      { once: true },
    );
  });
}
