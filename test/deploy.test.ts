import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { loadConfig } from '../src/config.ts';
import { silentLog } from '../src/log.ts';
import { createMetrics } from '../src/serve/metrics.ts';
import { SOURCES } from '../src/sources/list.ts';
import { parseExposition } from './serve/exposition.ts';
import { modelOf, statusOf } from './serve/statuses.ts';

const FOLDER = fileURLToPath(new URL('../docs/deploy/', import.meta.url));
const read = (name: string) => readFileSync(FOLDER + name, 'utf8');
const dockerfile = readFileSync(`${FOLDER}../../Dockerfile`, 'utf8');

test('docs/deploy/README.md links to every file of its folder, and only to what exists', () => {
  const links = [...read('README.md').matchAll(/\]\(([^)#]+)/g)].map(([, target]) => target ?? '');
  expect(links.filter((link) => !existsSync(FOLDER + link))).toEqual([]);
  const others = readdirSync(FOLDER).filter((name) => name !== 'README.md');
  expect(links).toEqual(expect.arrayContaining(others));
});

describe('the Kubernetes example', () => {
  const documents = parseAllDocuments(read('kubernetes.yaml'), { uniqueKeys: true }).map((one) => one.toJS());
  const of = (kind: string) => documents.find((one) => one.kind === kind);
  const pod = of('Deployment').spec.template;
  const [container] = pod.spec.containers;

  it('is made of documents whose names and labels refer to each other', () => {
    expect(documents.map(({ kind }) => kind)).toEqual(['Secret', 'ConfigMap', 'Deployment', 'Service']);
    expect(of('Deployment').spec.selector.matchLabels).toEqual(pod.metadata.labels);
    expect(of('Service').spec.selector).toEqual(pod.metadata.labels);
    expect(container.envFrom).toEqual([{ secretRef: { name: of('Secret').metadata.name } }]);
    expect(pod.spec.volumes[0].configMap.name).toBe(of('ConfigMap').metadata.name);
  });

  it('runs the image as its user, with a read-only root and no rights, and asks the paths that there are', () => {
    expect(dockerfile).toContain(
      `USER ${pod.spec.securityContext.runAsUser}:${pod.spec.securityContext.runAsGroup}`,
    );
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(container.livenessProbe.httpGet.path).toBe('/healthz');
    expect(container.readinessProbe.httpGet.path).toBe('/readyz');
    expect(dockerfile).toContain(`LOGKEEP_PORT=${container.ports[0].containerPort}`);
    expect(dockerfile).toContain(`WORKDIR ${container.volumeMounts[0].mountPath}`);
  });

  it('its settings are in order with its secret', () => {
    const cwd = mkdtempSync(join(tmpdir(), 'logkeep-deploy-'));
    try {
      for (const [name, text] of Object.entries<string>(of('ConfigMap').data))
        writeFileSync(join(cwd, name), text);
      const env = of('Secret').stringData;
      const config = loadConfig({ env, cwd, file: null, sources: SOURCES });
      expect(config.streams.map(({ id }) => id)).toEqual(['qstash.main', 'datadog.web']);
      expect(config.database.url).toBe(env.DATABASE_URL);
      expect(config.notes).toEqual([]);
    } finally {
      rmSync(cwd, { recursive: true, force: true });
    }
  });
});

describe('the alerts for Prometheus', () => {
  const { groups } = parse(read('prometheus-alerts.yml'), { uniqueKeys: true });

  it('ask only for metrics and labels that there are', async () => {
    const metrics = createMetrics({
      read: async () => modelOf(statusOf({ gaps: [{ kind: 'expired', count: 1, lengthMs: 1 }] })),
      depth: async () => [],
      version: '1',
      log: silentLog,
    });
    const known = parseExposition(await metrics.text());
    metrics.close();
    const labelsOf = (name: string) =>
      Object.keys(Object.assign({}, ...(known.get(name)?.samples ?? []).map(({ labels }) => labels)));
    const rules: { expr: string; annotations: object }[] = groups.flatMap(
      (group: { rules: [] }) => group.rules,
    );
    expect(rules.length).toBeGreaterThan(7);
    for (const { expr, annotations } of rules) {
      const metricsAsked = expr.match(/logkeep_\w+/g) ?? [];
      expect(metricsAsked.filter((name) => !known.has(name))).toEqual([]);
      expect(metricsAsked, expr).not.toEqual([]);
      const lists = [...expr.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, list = '']) =>
        list.split(', '),
      );
      const matched = [...expr.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"/g)].map(([, label]) => label);
      const told = [...JSON.stringify(annotations).matchAll(/\$labels\.(\w+)/g)].map(([, label]) => label);
      for (const name of metricsAsked)
        expect(labelsOf(name), expr).toEqual(expect.arrayContaining([...lists, ...matched, ...told]));
      // What an aggregation drops, no text can name.
      expect(lists, expr).toEqual(expect.arrayContaining(told));
    }
  });

  it('are found by the configuration beside them', () => {
    expect(parse(read('prometheus.yml')).rule_files).toEqual(['prometheus-alerts.yml']);
  });

  // Not on every machine: where it is, it has the last word.
  it.skipIf(isMissing('promtool'))('please promtool, where it is installed', () => {
    execFileSync('promtool', ['check', 'config', `${FOLDER}prometheus.yml`], { stdio: 'pipe' });
  });
});

describe('the systemd unit', () => {
  const unit = read('logkeep.service');

  it('has the three sections, gives time to finish, and passes SIGHUP on', () => {
    expect(unit.match(/^\[\w+\]$/gm)).toEqual(['[Unit]', '[Service]', '[Install]']);
    const settings = Object.fromEntries(
      [...unit.matchAll(/^(\w+)=(.*)$/gm)].map(([, key, value]) => [key, value]),
    );
    expect(settings).toMatchObject({
      ExecStart: '/usr/bin/env logkeep serve',
      ExecReload: '/bin/kill -HUP $MAINPID',
      Restart: 'always',
      DynamicUser: 'yes',
      ProtectSystem: 'strict',
    });
    expect(Number(settings.TimeoutStopSec)).toBeGreaterThan(10);
  });

  it.skipIf(isMissing('systemd-analyze'))('pleases systemd-analyze, where it is installed', () => {
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', `${FOLDER}logkeep.service`], {
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([0, '']);
  });
});

function isMissing(program: string): boolean {
  return spawnSync(program, ['--version']).error !== undefined;
}
