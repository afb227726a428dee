import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { type Config, type LoadOptions, loadConfig } from '../../src/config.ts';
import { isFailure } from '../../src/errors.ts';
import { SOURCES } from '../../src/sources/list.ts';
import { toy } from './toy.ts';

export const MINUTE = 60_000;
export const DAY = 24 * 60 * MINUTE;

/** The settings file of the documentation, and the variables that it needs. */
export const EXAMPLE = readFileSync(new URL('../fixtures/config/logkeep.yaml', import.meta.url), 'utf8');
export const KEYS = { QSTASH_TOKEN: 'q-secret', DD_API_KEY: 'a-secret', DD_APP_KEY: 'b-secret' };

type Environment = Readonly<Record<string, string>>;

/** A new folder for each test; `yaml` becomes its logkeep.yaml unless it is null. */
export function settingsFolder() {
  let cwd = '';
  beforeEach(() => {
    cwd = mkdtempSync(join(tmpdir(), 'logkeep-config-'));
  });
  afterEach(() => rmSync(cwd, { recursive: true, force: true }));

  function load(yaml: string | null, env: Environment = {}, more: Partial<LoadOptions> = {}): Config {
    if (yaml !== null) writeFileSync(join(cwd, 'logkeep.yaml'), yaml);
    return loadConfig({ env, cwd, file: null, sources: [...SOURCES, toy], ...more });
  }

  /** What `loadConfig` refuses the settings with. */
  function complaint(yaml: string | null, env: Environment = {}, more: Partial<LoadOptions> = {}): string {
    try {
      load(yaml, env, more);
    } catch (error) {
      if (isFailure(error, 'config')) return error.message;
      throw error;
    }
    return 'no complaint';
  }

  return { load, complaint, path: (...names: readonly string[]) => join(cwd, ...names) };
}
