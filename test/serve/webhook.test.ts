import { expect, test } from 'vitest';
import { post } from '../../src/serve/webhook.ts';
import { json, serve } from '../sources/stand.ts';

test('a redirect of a webhook is not followed: what is told goes to the address of the settings alone', async () => {
  for (const status of [301, 302, 303, 307, 308]) {
    const elsewhere = await serve((_request, response) => json(response, {}));
    const hook = await serve(
      (_request, response) => void response.writeHead(status, { location: `${elsewhere.url}/taken` }).end(),
    );
    try {
      const said = await post('webhook', `${hook.url}/secret-path`, [], 0, new AbortController().signal);
      expect(said).toEqual(expect.stringMatching(/./));
      expect(said).not.toContain('secret-path');
      expect([hook.seen.length, elsewhere.seen.length]).toEqual([1, 0]);
    } finally {
      await hook.close();
      await elsewhere.close();
    }
  }
});
