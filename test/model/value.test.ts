import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import {
  InvalidValue,
  isInside,
  parseAddress,
  parseDevice,
  parseInterfaceAddress,
  parsePrefix,
} from '../../lib/model/value';

const groups = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 });
const sparse = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 0xffff })), { minLength: 8, maxLength: 8 });

describe('prefixes', () => {
  test.each([
    ['10.10.10.0/24', '10.10.10.0/24'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['192.0.2.1/32', '192.0.2.1'],
    ['FD00:4242:4242:4242:0:0:0:0/64', 'fd00:4242:4242:4242::/64'],
    ['2001:db8::1/128', '2001:db8::1'],
    ['::/0', '::/0'],
    ['::1/128', '::1'],
    ['::ffff/128', '::ffff'],
    ['::1:0:0:0/96', '::1:0:0:0/96'],
  ])('%s is %s to the kernel', (given, kernel) => {
    expect(parsePrefix(given, 'source').text).toBe(kernel);
  });

  test.each([
    ['10.10.10.5/24', 'source "10.10.10.5/24" has host bits set. Did you mean "10.10.10.0/24"?'],
    ['fd00::1/64', 'source "fd00::1/64" has host bits set. Did you mean "fd00::/64"?'],
    ['10.10.10.0', 'source "10.10.10.0" has no prefix length. Did you mean "10.10.10.0/32"?'],
    ['fd00::', 'source "fd00::" has no prefix length. Did you mean "fd00::/128"?'],
    [
      '::ffff:10.0.0.0/104',
      'source "::ffff:10.0.0.0/104" is an IPv4 address inside IPv6. Give the IPv4 address itself.',
    ],
    ['::10.0.0.0/104', 'source "::10.0.0.0/104" is an IPv4 address inside IPv6. Give the IPv4 address itself.'],
    [
      'fe80::%eth0/64',
      'source "fe80::%eth0/64" has a zone. Leave out "%eth0", and name the interface in its own property.',
    ],
  ])('%s is refused', (given, message) => {
    expect(() => parsePrefix(given, 'source')).toThrow(message);
  });

  test.each([
    '10.10.10.0/33',
    '10.10.10/24',
    '010.0.0.0/8',
    'fd00::/129',
    'vpn',
    '',
    '10.0.0.0/8 lookup 254',
    '$(reboot)/8',
  ])('%j is no prefix', (given) => {
    expect(() => parsePrefix(given, 'source')).toThrow(
      /^source ".*" is not an IP address or prefix \(.*\)\. Write it like "10\.10\.10\.0\/24" or "fd00:4242:4242:4242::\/64"\.$/,
    );
  });

  test('no text that passes holds anything but an address', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        let passed: string;
        try {
          passed = parsePrefix(text, 'source').text;
        } catch {
          return;
        }
        expect(passed).toMatch(/^[0-9a-f.:/]+$/);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('addresses', () => {
  // WHATWG URLs print IPv6 as RFC 5952 says, and so does the kernel.
  test.each([
    ['any', groups],
    ['with runs of zeroes', sparse],
  ])('IPv6 addresses %s are printed as RFC 5952 says', (_, generator) => {
    fc.assert(
      fc.property(generator, (numbers) => {
        const text = numbers.map((n) => n.toString(16).padStart(4, '0').toUpperCase()).join(':');
        const expected = new URL(`http://[${text}]`).hostname.slice(1, -1);
        fc.pre(numbers.slice(0, 5).some((n) => n !== 0));
        expect(parseAddress(text, 'via').text).toBe(expected);
      }),
    );
  });

  test('a prefix length is refused', () => {
    expect(() => parseAddress('192.168.1.1/24', 'via')).toThrow(
      'via "192.168.1.1/24" has a prefix length, but a single address is needed. Did you mean "192.168.1.1"?',
    );
  });

  test.each(['::10.0.0.1', '::1:0', '::ffff:10.0.0.1', '::ffff:a00:1'])('%s is refused', (address) => {
    expect(() => parseAddress(address, 'via')).toThrow(
      `via "${address}" is an IPv4 address inside IPv6. Give the IPv4 address itself.`,
    );
  });

  test('an interface address keeps its host bits', () => {
    expect(parseInterfaceAddress('192.168.1.100/24', 'address')).toEqual({
      text: '192.168.1.100/24',
      address: '192.168.1.100',
      family: 4,
    });
    expect(() => parseInterfaceAddress('192.168.1.100', 'address')).toThrow(
      'address "192.168.1.100" has no prefix length. Give it as on the machine, for example "192.168.1.100/24".',
    );
  });

  test('inside', () => {
    expect(isInside('192.168.1.1', '192.168.1.100/24')).toBe(true);
    expect(isInside('192.168.2.1', '192.168.1.100/24')).toBe(false);
    expect(isInside('10.0.0.0/8', '10.0.0.0/16')).toBe(false);
    expect(isInside('fd00::1', '192.168.1.0/24')).toBe(false);
  });
});

describe('interface names', () => {
  test.each(['eth0', 'wg-vpn', 'br0.100', 'a23456789012345'])('%s passes', (name) => {
    expect(parseDevice(name, 'device').text).toBe(name);
  });

  test.each(['', 'eth 0', 'eth0;reboot', '$(reboot)', 'eth0\n', '@1@', '../x', '..', 'é'])('%j is refused', (name) => {
    expect(() => parseDevice(name, 'device')).toThrow(/^device ".*" is not an interface name/s);
  });

  test.each([
    [
      'a234567890123456',
      'is too long: 16 bytes, but an interface name has at most 15. Write it as "ip link" shows it.',
    ],
    ['eth0:1', 'is not a plain name: it has an alias or the name of a peer. Did you mean "eth0"?'],
    ['eth0.100@eth0', 'is not a plain name: it has an alias or the name of a peer. Did you mean "eth0.100"?'],
    ['tun+', 'is a pattern, but the kernel compares whole names. Give one interface, as "ip link" shows it.'],
    ['tun*', 'is a pattern, but the kernel compares whole names. Give one interface, as "ip link" shows it.'],
    ['-x', 'begins with "-", which commands would read as an option. Rename the interface, or give another.'],
    ['--', 'begins with "-", which commands would read as an option. Rename the interface, or give another.'],
    ...['all', 'default'].map((name) => [
      name,
      'cannot be the name of an interface: the kernel reserves it in /proc/sys/net/ipv4/conf. Give a name that "ip link" shows.',
    ]),
  ])('%s is refused', (name, reason) => {
    expect(() => parseDevice(name, 'device')).toThrow(new InvalidValue(`device "${name}" ${reason}`));
  });

  test('every name that passes is one to the program on the host', () => {
    const [isDevice = ''] =
      /^function is_device.*$/m.exec(readFileSync(join(__dirname, '../../lib/agent/bundle.awk'), 'utf8')) ?? [];
    const characters = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index));
    const given = [
      ...characters.flatMap((each) => [each, `a${each}b`]),
      '..',
      'a'.repeat(15),
      'a'.repeat(16),
      '',
      '-x',
      '--',
      'all',
      'default',
    ];
    const passes = (name: string): boolean => {
      try {
        return parseDevice(name, 'device').text === name;
      } catch {
        return false;
      }
    };
    const passed = given.filter(passes);
    expect(passed.length).toBeGreaterThan(100);
    const input = passed.join('\n');
    const refused = (names: string): string =>
      execFileSync('awk', [`${isDevice} { if (!is_device($0)) print }`], { input: names, encoding: 'utf8' });
    expect(refused(input)).toBe('');
    const wrong = ['-x', '--', 'all', 'default', '.', '..', 'a'.repeat(16)].join('\n');
    expect(refused(wrong)).toBe(`${wrong}\n`);
  });
});
