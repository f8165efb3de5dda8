import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expression, literal, quoted } from '../lib/delivery/escape';

/** Strings that are made to break out of a template or of a quoted string. */
const hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '${',
        '%{',
        '$',
        '%',
        '{',
        '}',
        '"',
        '\\',
        '\n',
        '\r\n',
        '\t',
        '$(reboot)',
        '`',
        "'",
        '~}',
        '%{if true}',
        '${x}',
        'é',
        '\u0007',
      ),
      fc.string({ maxLength: 4 }),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(''))
  // Terraform normalises strings to NFC, which is none of our business.
  .map((text) => text.normalize('NFC'));

describe('escaping', () => {
  test('Terraform gives back every string as it was', () => {
    const samples = [
      ...fc.sample(hostile, 400),
      '${x}',
      '%{if}',
      '$${x}',
      '%%{x}',
      '$$${t}',
      '\\${x}',
      '"${x}"',
      '$',
      '%',
      '',
    ];
    const directory = mkdtempSync(join(tmpdir(), 'escape-'));
    try {
      const output = {
        literal: { value: samples.map(literal) },
        quoted: { value: samples.map((text) => expression(quoted(text))) },
      };
      writeFileSync(join(directory, 'main.tf.json'), JSON.stringify({ output }));
      const terraform = (...args: string[]): string =>
        execFileSync('terraform', [`-chdir=${directory}`, ...args], {
          encoding: 'utf8',
          env: { ...process.env, CHECKPOINT_DISABLE: '1', TF_CLI_CONFIG_FILE: '/dev/null' },
        });
      terraform('apply', '-auto-approve');
      const values = JSON.parse(terraform('output', '-json')) as Record<string, { value: string[] }>;
      expect(values.literal?.value).toEqual(samples);
      expect(values.quoted?.value).toEqual(samples);
    } finally {
      rmSync(directory, { recursive: true });
    }
  }, 60_000);
});
