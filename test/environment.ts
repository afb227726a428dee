/**
 * What a program of a test finds in its environment besides what the test gives: PATH, and the run's folder of what
 * Node compiled. Vitest's workers do not use that folder: they end after it is gone, and would make it again.
 */
export function bareEnvironment(): Record<string, string> {
  const { PATH = '', LOGKEEP_TEST_COMPILED } = process.env;
  return LOGKEEP_TEST_COMPILED === undefined ? { PATH } : { PATH, NODE_COMPILE_CACHE: LOGKEEP_TEST_COMPILED };
}
