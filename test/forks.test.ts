import { join } from 'node:path';
import type * as cdktf from 'cdktf';
import { TerraformStack, Testing } from 'cdktf';
import { Engine, LinuxHost, RemovedLinuxHost } from '../lib';
import { SSH, synthesize } from './fixtures';

const [own, other] = /node_modules\/cdktn\//.test(require.resolve('cdktf')) ? ['cdktn', 'cdktf'] : ['cdktf', 'cdktn'];
// By its path, since jest gives one fork in place of the other.
// eslint-disable-next-line @typescript-eslint/no-require-imports
const theirs = require(join(__dirname, '../node_modules', other)) as typeof cdktf;
const LINE = (name: string): string =>
  `the ${name} is of the package ${other}, but this is ${own}-source-routing. Use ${other}-source-routing.`;

test('a stack of the other fork is refused in one line that names the right package', () => {
  class Stack extends theirs.TerraformStack {}
  const stack = new Stack(theirs.Testing.app(), 'stack');
  expect(() => new LinuxHost(stack, 'vpn1', { ssh: SSH })).toThrow(`[stack/vpn1] ${LINE('TerraformStack')}`);
  expect(() => new RemovedLinuxHost(stack, 'vpn2')).toThrow(`[stack/vpn2] ${LINE('TerraformStack')}`);
});

test('so is an app of the other fork', () => {
  const stack = new TerraformStack(theirs.Testing.app(), 'stack');
  expect(() => new LinuxHost(stack, 'vpn1', { ssh: SSH })).toThrow(`[stack/vpn1] ${LINE('App')}`);
});

test('a stack class of another library is taken for the fork that it inherits from', () => {
  class Stack extends TerraformStack {}
  Object.defineProperty(Stack, Symbol.for('jsii.rtti'), { value: { fqn: 'cdktn.TerraformStacks', version: '1.0.0' } });
  expect(() => new LinuxHost(new Stack(Testing.app(), 'stack'), 'vpn1', { ssh: SSH })).not.toThrow();
});

describe('the null engine', () => {
  const PROVIDER = '@cdktf/provider-null/lib/provider';
  afterEach(() => jest.dontMock(PROVIDER));

  function withoutProvider(engine: Engine): () => void {
    return () =>
      jest.isolateModules(() => {
        jest.doMock(PROVIDER, () => {
          throw Object.assign(new Error('Cannot find module'), { code: 'MODULE_NOT_FOUND' });
        });
        /* eslint-disable @typescript-eslint/no-require-imports */
        const library = require('../lib') as { LinuxHost: typeof LinuxHost };
        const framework = require('cdktf') as typeof cdktf;
        const stack = new framework.TerraformStack(framework.Testing.app(), 'stack');
        new library.LinuxHost(stack, 'vpn1', { ssh: SSH, engine });
      });
  }

  test('alone needs a package, and only for cdktf', () => {
    expect(withoutProvider(Engine.TERRAFORM_DATA)).not.toThrow();
    if (own === 'cdktf') {
      expect(withoutProvider(Engine.NULL_RESOURCE)).toThrow(
        '[stack/vpn1] engine "null_resource" needs the package @cdktf/provider-null, which is not installed.',
      );
    } else {
      expect(withoutProvider(Engine.NULL_RESOURCE)).not.toThrow();
    }
  });

  test('asks Terraform for the same provider in both forks', () => {
    const stack = new TerraformStack(Testing.app(), 'stack');
    new LinuxHost(stack, 'vpn1', { ssh: SSH, engine: Engine.NULL_RESOURCE });
    expect(synthesize(stack)).toMatchObject({
      terraform: { required_providers: { null: { source: 'null', version: '3.2.4' } } },
    });
  });
});
