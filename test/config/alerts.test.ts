import { describe, expect, it } from 'vitest';
import { settingsFolder } from './harness.ts';

const { load, complaint } = settingsFolder();
const KEYS = { QSTASH_TOKEN: 'q-secret' };
const SLACK = 'https://hooks.slack.com/services/T000/B000/very-secret';

describe('alerts', () => {
  it('have defaults, and nobody to tell', () => {
    expect(load(null, KEYS).alerts).toEqual({
      webhook: null,
      slack: null,
      lagMs: 900_000,
      expiryMs: 12 * 3_600_000,
      silenceMs: 'auto',
      repeatMs: 3_600_000,
    });
  });

  it('are read from the file, with variables, and from the environment before it', () => {
    const yaml = `alerts: { slack: '\${HOOK}', webhook: https://a.example/x, lag: 5m, silence: 'off' }`;
    expect(load(yaml, { ...KEYS, HOOK: SLACK }).alerts).toMatchObject({
      slack: SLACK,
      webhook: 'https://a.example/x',
      lagMs: 300_000,
      silenceMs: null,
    });
    const env = { ...KEYS, HOOK: SLACK, LOGKEEP_ALERT_WEBHOOK: 'https://b.example/y' };
    expect(load(yaml, env).alerts.webhook).toBe('https://b.example/y');
    expect(load('alerts: { silence: 2h }', KEYS).alerts.silenceMs).toBe(7_200_000);
  });

  it('never show an address: not in the settings in effect, and not in a complaint', () => {
    const config = load(null, { ...KEYS, LOGKEEP_ALERT_SLACK: SLACK });
    expect(config.effective).toContainEqual({
      setting: 'alerts.slack',
      value: '****',
      from: 'environment LOGKEEP_ALERT_SLACK',
    });
    expect(JSON.stringify(config.effective)).not.toContain('very-secret');
    const wrong = complaint(`alerts: { slack: 'hooks.slack.com/services/very-secret' }`, KEYS);
    expect(wrong).toBe(
      'logkeep.yaml: alerts.slack: ****: expected the address of a webhook such as https://hooks.slack.com/services/...',
    );
    expect(complaint(`alerts: very-secret`, KEYS)).toBe(
      `logkeep.yaml: alerts: ****: expected a mapping such as { slack: '\${SLACK_WEBHOOK}', lag: 15m }`,
    );
  });

  it('refuse what is wrong with place, value and what is expected', () => {
    expect(complaint('alerts: { lag: soon, silence: never, slak: x }', KEYS)).toBe(
      [
        '3 settings are wrong:',
        'logkeep.yaml: alerts.slak: unknown setting; did you mean slack?',
        'logkeep.yaml: alerts.lag: "soon": expected a duration such as 90s, 15m, 12h, 3d or PT15M',
        'logkeep.yaml: alerts.silence: "never": expected a duration such as 90s, 15m, 12h, 3d or PT15M, of at least 1m, or auto, or off',
      ].join('\n  '),
    );
    expect(complaint('alerts: { repeat: 1s }', KEYS)).toContain('alerts.repeat: "1s": expected a duration');
  });
});

it('the host of health and metrics is loopback unless the file or LOGKEEP_HOST says otherwise', () => {
  expect(load(null, KEYS).host).toBe('127.0.0.1');
  expect(load('host: "::"', KEYS).host).toBe('::');
  expect(load('host: "::"', { ...KEYS, LOGKEEP_HOST: '0.0.0.0' }).host).toBe('0.0.0.0');
});
