import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { environmentKey, keyCheck } from '../lib/delivery/environment-key';
import { quoted } from '../lib/delivery/escape';

const KEY = '-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbg==\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n';
const inBase64 = Buffer.from(KEY).toString('base64');
const NAME = 'VPN_KEY';
const PROPERTY = 'ssh.privateKeyEnvironmentVariable';

describe('a key in the environment of Terraform', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'environment-key-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  /** What Terraform makes of expressions where the environment has these settings, which need not be text. */
  function evaluate(expressions: readonly string[], settings: readonly string[]): string[] {
    const program = `exec env ${settings.map((setting) => `"$(printf '${setting}')"`).join(' ')} terraform console`;
    const { stdout, stderr, status } = spawnSync('bash', ['-c', program], {
      cwd: directory,
      input: `jsonencode([${expressions.map((each) => `try(${each}, "none")`).join(', ')}])\n`,
      encoding: 'utf8',
      env: { ...process.env, CHECKPOINT_DISABLE: '1', TF_CLI_CONFIG_FILE: '/dev/null', TF_CLI_ARGS: '-no-color' },
    });
    expect([stderr, status]).toEqual(['', 0]);
    return JSON.parse(JSON.parse(stdout) as string) as string[];
  }

  const key = environmentKey(quoted(NAME));
  const { problem = '' } = keyCheck({ property: PROPERTY, variable: NAME, key }).environment ?? {};
  /** The key, and what the check says. */
  const outcome = (...settings: string[]): string[] =>
    evaluate(
      [key, problem.slice('${'.length, -1)],
      settings.map((each) => each.replace(/\n/g, '\\n').replace(/%/g, '%%')),
    );

  test.each([
    ['as it is in a file', KEY],
    ['without its last line break', KEY.trimEnd()],
    ['after a line break', `\n${KEY}`],
    ['with the line breaks of Windows', KEY.replace(/\n/g, '\r\n')],
  ])('%s', (_, text) => {
    // The shell takes trailing line breaks away.
    const [found = '', told] = outcome(`${NAME}=${text}x`);
    expect([found, told]).toEqual([`${text}x`, '']);
  });

  test.each([
    ['in base64', inBase64],
    ['in base64, in lines', inBase64.replace(/.{64}/g, '$&\n')],
  ])('%s', (_, text) => {
    expect(outcome(`${NAME}=${text}`)).toEqual([KEY, '']);
  });

  test('among others: with its name inside theirs, and with bytes that are no text', () => {
    expect(outcome(`X${NAME}=a`, `${NAME}X=b`, `LATIN=\\351\\377 ${NAME}=c`, `${NAME}=${inBase64}`)).toEqual([KEY, '']);
  });

  test.each([
    ['is not set', [`X${NAME}=${inBase64}`]],
    ['is empty', [`${NAME}=`]],
  ])('%s', (_, settings) => {
    expect(outcome(...settings)).toEqual([
      'none',
      `source-routing: refused, nothing was changed: ${PROPERTY}: ${NAME} is not set where Terraform runs. Set it to the contents of a key file, as they are or in base64.`,
    ]);
  });

  test.each([
    ['is the path of a key', '~/.ssh/id_ed25519'],
    ['is a public key', 'ssh-ed25519 AAAA me'],
    ['is half a key in base64', inBase64.slice(0, 31)],
    ['is base64 of something else', Buffer.from('secret').toString('base64')],
  ])('%s: the check says so, and does not show it', (_, text) => {
    const [found, told] = outcome(`${NAME}=${text}`);
    expect(told).toBe(
      `source-routing: refused, nothing was changed: ${PROPERTY}: ${NAME} is not a private key. Set it to the contents of a key file, as they are or in base64.`,
    );
    // An error of base64decode would show it.
    expect(found).not.toBe('none');
  });

  test('without /proc the check names another way', () => {
    const [told] = evaluate([problem.slice('${'.length, -1).replace(/\/proc\/self\/environ/g, '/missing')], []);
    expect(told).toBe(
      `source-routing: refused, nothing was changed: ${PROPERTY}: Terraform cannot read /missing, which Linux has. Set ssh.privateKeyFile instead.`,
    );
  });
});
