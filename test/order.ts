import { relative } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Files of half a minute and more: a long one begun last is what the end of a run waits for. First three that mostly
 * wait, with the two that compute most beside them.
 */
const LONG = [
  'serve/living.pg.test.ts',
  'traps/serving.pg.test.ts',
  'serve/serve.pg.test.ts',
  'property/pump.pg.test.ts',
  'invariants/i8-oversize.pg.test.ts',
  'crash/sigkill.pg.test.ts',
  'pacing/hours.pg.test.ts',
  'week.pg.test.ts',
  'package.test.ts',
  'cli/demo.pg.test.ts',
  'cli/sync.pg.test.ts',
  'serve/settings.pg.test.ts',
  'cli/empty-folder.pg.test.ts',
  'serve/lanes.pg.test.ts',
  'cli/backfill.pg.test.ts',
  'store/quota-processes.pg.test.ts',
  'store/embedded.pg.test.ts',
];

/** The long files first, in their order; the rest as Vitest would. */
export default class extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const found = LONG.indexOf(relative(import.meta.dirname, moduleId));
      return found === -1 ? LONG.length : found;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}
