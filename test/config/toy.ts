import { z } from 'zod';
import type { Source } from '../../src/sources/source.ts';
import { optional, secret, text, wholeNumber } from '../../src/sources/values.ts';

/** A source that the settings know nothing of but its declarations. */
export const toy: Source = {
  name: 'toy',
  settings: z.strictObject({
    colour: text('a colour').prefault('red').describe('Its colour.'),
    size: optional(wholeNumber(1, 9)).describe('Its size.'),
    plain: z.string().optional().describe('Checked by zod alone.'),
    key: secret('a toy key').describe('Its key.'),
  }),
  defaults: { retention: '7d', settle: '5s', page_size: 50 },
  environment: {
    stream: 'toy.main',
    variables: [
      { name: 'TOY_KEY', setting: 'key', required: true, help: 'key of the toy' },
      { name: 'TOY_COLOUR', setting: 'colour', required: false, help: 'its colour' },
    ],
  },
  secrets: ['key'],
  open() {
    throw new Error('a toy does not open');
  },
};
