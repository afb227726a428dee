/** What a piece of work cost its process. */
export interface Effort {
  readonly elapsedMs: number;
  /** User and system time of all its threads. */
  readonly cpuMs: number;
  /** Most memory that the process ever had resident, start included. */
  readonly peakRssBytes: number;
}

/** Begins to measure; the function returned says what it cost until then. */
export function startEffort(): () => Effort {
  const startedAt = performance.now();
  const before = process.cpuUsage();
  return () => {
    const elapsedMs = performance.now() - startedAt;
    const { user, system } = process.cpuUsage(before);
    return {
      elapsedMs,
      cpuMs: (user + system) / 1000,
      peakRssBytes: process.resourceUsage().maxRSS * 1024,
    };
  };
}
