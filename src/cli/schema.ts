import { settingsSchema } from '../config/schema.ts';
import { SOURCES } from '../sources/list.ts';
import type { Run } from './command.ts';

/** `logkeep schema`: the JSON Schema of the settings file, as it stands in `logkeep.schema.json`. */
export const run: Run<'schema'> = async (_options, { stdout }) => {
  stdout.write(`${JSON.stringify(settingsSchema(SOURCES), null, 2)}\n`);
  return 0;
};
