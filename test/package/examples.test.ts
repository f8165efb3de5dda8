import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { TERRAFORM_ENV } from '../e2e/terraform';

const ROOT = resolve(__dirname, '../..');
const EXAMPLES = readdirSync(join(ROOT, 'examples'));

/** Examples whose provider only a registry has: they synthesize, but cannot be validated everywhere. */
const NEED_REGISTRY = ['cloud'];

describe.each(EXAMPLES)('example %s', (example) => {
  let outdir: string;
  let stack: string;

  beforeAll(() => {
    outdir = mkdtempSync(join(tmpdir(), 'example-'));
    stack = join(outdir, 'stacks', example);
    const cdktfJson = JSON.parse(readFileSync(join(ROOT, 'examples', example, 'cdktf.json'), 'utf8')) as {
      app: string;
    };
    execFileSync('sh', ['-c', cdktfJson.app], {
      cwd: join(ROOT, 'examples', example),
      env: { ...process.env, ...TERRAFORM_ENV, CDKTF_OUTDIR: outdir },
    });
  }, 60_000);
  afterAll(() => rmSync(outdir, { recursive: true }));

  test('synthesizes', () => {
    expect(existsSync(join(stack, 'cdk.tf.json'))).toBe(true);
  });

  test('has no warnings, but for keys of hosts, which only the machines know', () => {
    const { stacks } = JSON.parse(readFileSync(join(outdir, 'manifest.json'), 'utf8')) as {
      stacks: Record<string, { annotations?: { message: string }[] }>;
    };
    const messages = Object.values(stacks).flatMap(({ annotations = [] }) => annotations.map(({ message }) => message));
    expect(messages.filter((message) => !message.startsWith('ssh.hostKey is not set'))).toEqual([]);
  });

  if (!NEED_REGISTRY.includes(example)) {
    test('is valid Terraform', () => {
      const terraform = (...args: string[]): string =>
        execFileSync('terraform', [`-chdir=${stack}`, ...args], {
          encoding: 'utf8',
          env: { ...process.env, ...TERRAFORM_ENV },
        });
      terraform('init');
      expect(terraform('validate')).toContain('Success! The configuration is valid.');
    }, 60_000);
  }
});

test('the cloud gets the return routes, whatever the address, and another instance is configured', () => {
  const outdir = mkdtempSync(join(tmpdir(), 'example-'));
  try {
    execFileSync(join(ROOT, 'node_modules/.bin/tsx'), [join(ROOT, 'examples/cloud/main.ts')], {
      cwd: ROOT,
      env: { ...process.env, CDKTF_OUTDIR: outdir },
    });
    const { resource } = JSON.parse(readFileSync(join(outdir, 'stacks/cloud/cdk.tf.json'), 'utf8')) as {
      resource: Record<string, Record<string, object>>;
    };
    expect(resource.opentelekomcloud_networking_router_route_v2?.['return-1']).toMatchObject({
      destination_cidr: '10.10.10.0/24',
      next_hop: '192.168.1.100',
      router_id: '${var.router_id}',
    });
    const [anchor, apply] = Object.values(resource.terraform_data ?? {});
    const host = '${opentelekomcloud_networking_floatingip_v2.address.address}';
    expect(anchor).toMatchObject({
      triggers_replace: { host },
      depends_on: [
        'opentelekomcloud_compute_floatingip_associate_v2.association',
        'opentelekomcloud_compute_instance_v2.server',
      ],
    });
    expect(apply).toMatchObject({
      connection: { host },
      triggers_replace: { machine: '${opentelekomcloud_compute_instance_v2.server.id}' },
    });
  } finally {
    rmSync(outdir, { recursive: true });
  }
}, 60_000);
