import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { environmentKey, keyCheck } from '../lib/delivery/environment-key';
import { quoted } from '../lib/delivery/escape';
import { destroyConnection } from '../lib/delivery/ssh';

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
    expect(outcome(`${NAME}=${text}`)).toEqual([KEY.trim(), '']);
  });

  test.each([
    ['in base64', inBase64],
    ['in base64, in lines', inBase64.replace(/.{64}/g, '$&\n')],
  ])('%s', (_, text) => {
    expect(outcome(`${NAME}=${text}`)).toEqual([KEY.trim(), '']);
  });

  test('among others: with its name inside theirs, and with bytes that are no text', () => {
    expect(outcome(`X${NAME}=a`, `${NAME}X=b`, `LATIN=\\351\\377 ${NAME}=c`, `${NAME}=${inBase64}`)).toEqual([
      KEY.trim(),
      '',
    ]);
  });

  test.each([
    ['is not set', [`X${NAME}=${inBase64}`]],
    ['is empty', [`${NAME}=`]],
  ])('%s', (_, settings) => {
    expect(outcome(...settings)).toEqual([
      'none',
      `source-routing: refused, nothing was changed: ${PROPERTY}: ${NAME} is not set where Terraform runs. Set it to the contents of a key file, with its line breaks or in base64.`,
    ]);
  });

  test.each([
    ['is the path of a key', '~/.ssh/id_ed25519'],
    ['is a public key', 'ssh-ed25519 AAAA me'],
    ['is half a key in base64', inBase64.slice(0, 31)],
    ['has its line breaks as words', KEY.replace(/\n/g, '\\\\n')],
    ['has blanks for line breaks', KEY.replace(/\n/g, ' ')],
    ['has its quotes', `"${KEY.trim()}"`],
    ['has a passphrase', KEY.replace('b3B', 'Proc-Type: 4,ENCRYPTED\n\nb3B')],
    ['is base64 of something else', Buffer.from('secret').toString('base64')],
  ])('%s: the check says so, and does not show it', (_, text) => {
    const [found, told] = outcome(`${NAME}=${text}`);
    expect(told).toBe(
      `source-routing: refused, nothing was changed: ${PROPERTY}: ${NAME} is not a private key without a passphrase. Set it to the contents of a key file, with its line breaks or in base64.`,
    );
    // An error of base64decode would show it.
    expect(found).not.toBe('none');
  });

  test('the clean-up takes the first source that holds a key, and none that does not', () => {
    const from = (stored: Record<string, string>): string => {
      const values = Object.entries({ host: 'h', ...stored }).map(([name, value]) => `${name} = ${quoted(value)}`);
      const { privateKey = '' } = destroyConnection(
        { privateKeyEnvironmentVariable: NAME },
        (name) => `({ ${values.join(', ')} }).${name}`,
      );
      return privateKey.slice('${'.length, -1);
    };
    const file = join(directory, 'key');
    writeFileSync(file, 'from the file: PRIVATE KEY-----');
    const keys = [from({ key_file: file }), from({ key_file: '/dev/null' }), from({ key_variable: 'OLD' }), from({})];
    expect(evaluate(keys, ['OLD=no key', `${NAME}=${inBase64}`])).toEqual([
      'from the file: PRIVATE KEY-----',
      ...[1, 2, 3].map(() => KEY.trim()),
    ]);
    expect(evaluate([from({ key_variable: 'OLD' })], [`OLD=${inBase64}`, `${NAME}=no key`])).toEqual([KEY.trim()]);
  });

  test('the check is content with the file of an older state, whose last line has its end', () => {
    const file = join(directory, 'key');
    writeFileSync(file, KEY);
    const { problem: told = '' } =
      keyCheck({ property: PROPERTY, variable: NAME, key: `file("${file}")` }).environment ?? {};
    expect(evaluate([told.slice('${'.length, -1)], [])).toEqual(['']);
  });

  test('without /proc the check names another way', () => {
    const [told] = evaluate([problem.slice('${'.length, -1).replace(/\/proc\/self\/environ/g, '/missing')], []);
    expect(told).toBe(
      `source-routing: refused, nothing was changed: ${PROPERTY}: Terraform cannot read /missing, which Linux has. Use a key file instead.`,
    );
  });
});
