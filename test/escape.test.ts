import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expression, isTemplate, literal, quoted, referencedResources } from '../lib/delivery/escape';

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

describe('what waits for other resources', () => {
  test.each<[string, string, string[]]>([
    ['no expression', 'aws_instance.web.id', []],
    ['a resource', 'at ${aws_instance.web.public_ip}', ['aws_instance.web']],
    ['one of several', '${aws_instance.web-1[0].id}', ['aws_instance.web-1']],
    ['an older name', '${aws_instance._web.id}', ['aws_instance._web']],
    ['a module', '${module.network.address}', ['module.network']],
    ['two of them, one twice', '${aws_eip.b.id} ${aws_eip.a.id} ${aws_eip.b.ip}', ['aws_eip.b', 'aws_eip.a']],
    ['a condition', '%{if aws_eip.a.id == ""}aws_eip.b.id%{endif}', ['aws_eip.a']],
    ['nothing to wait for', '${var.a_b} ${local.a_b.c} ${data.aws_eip.a.id} ${each.value.a_b.c}', []],
    ['a part of another name', '${my-aws_eip.a.id} ${module.x.aws_eip.a}', ['module.x']],
    ['text that is meant literally', '$${aws_eip.a.id} %%{aws_eip.b.id}', []],
    ['text after an expression', '${var.a} aws_eip.a.id', []],
    ['a string', '${"aws_eip.a.id"}', []],
    ['a string with a quote', '${"\\" aws_eip.a.id"} aws_eip.b.id', []],
    ['an expression in a string', '${"at ${aws_eip.a.id}, aws_eip.b.id"}', ['aws_eip.a']],
    ['what comes after a string', '${"${var.a}" == aws_eip.a.id ? "" : aws_eip.b.id}', ['aws_eip.a', 'aws_eip.b']],
    [
      'an object',
      '${{ a = aws_eip.a.id, b = { c = "}" } }.a == aws_eip.b.id} aws_eip.c.id',
      ['aws_eip.a', 'aws_eip.b'],
    ],
    ['braces outside', '{ ${aws_eip.a.id} } aws_eip.b.id', ['aws_eip.a']],
  ])('%s', (_, text, names) => {
    expect(referencedResources(text).sort()).toEqual([...names].sort());
  });

  test.each<[string, boolean]>([
    ['${x}', true],
    ['%{if x}', true],
    ['$x {y} %', false],
  ])('%s is evaluated: %s', (text, evaluated) => {
    expect(isTemplate(text)).toBe(evaluated);
  });
});
