import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Fn, Lazy, TerraformCount, TerraformIterator, TerraformResource, TerraformVariable, Token } from 'cdktf';
import type { TerraformStack } from 'cdktf';
import * as ts from 'typescript';
import {
  CloudInit,
  Drift,
  EduVpnNode,
  Errors,
  Expected,
  Forwarding,
  IpProtocol,
  LinuxHost,
  LocalTraffic,
  NatRouter,
  NumberRange,
  Persistence,
  PolicyRule,
  RemovedLinuxHost,
  Resolver,
  Route,
  RuleAction,
  SourceNat,
  SourceRoutingTable,
  VpnDaemon,
  VpnEgress,
  VpnUpHook,
} from '../lib';
import type { RouteOptions } from '../lib';
import { GATEWAYS, POOLS, SSH, newHost, newStack, newTable } from './fixtures';

type Loose = Record<string, unknown>;

/** How an object with such properties is given, and one that is right. */
interface Struct {
  readonly right: (stack: TerraformStack, property: string) => Loose;
  readonly give: (stack: TerraformStack, given: never) => unknown;
  /** What stands before a property in messages. */
  readonly prefix?: string;
}

const host = (stack: TerraformStack): LinuxHost => newHost(stack);
const table = (stack: TerraformStack): SourceRoutingTable => newTable(host(stack));
const tcp = { destination: '192.0.2.1', source: '10.10.10.7', inputInterface: 'tun0', ipProtocol: IpProtocol.TCP };
const flow = { ...tcp, source: '10.10.10.0/24', destination: 'default' };

/** Every public options object. */
const STRUCTS: Record<string, Struct> = {
  LinuxHostProps: { right: () => ({ ssh: SSH }), give: (stack, given) => new LinuxHost(stack, 'x', given) },
  AdoptOptions: {
    right: () => ({}),
    give: (stack, adopt) => new LinuxHost(stack, 'x', { ssh: SSH, adopt }),
    prefix: 'adopt.',
  },
  DriftOptions: { right: () => ({}), give: (_, options) => Drift.inPlan(options) },
  SshConnection: {
    right: () => SSH,
    give: (stack, ssh) => new LinuxHost(stack, 'x', { ssh }),
    prefix: 'ssh.',
  },
  SshBastion: {
    right: () => ({ host: '192.0.2.1' }),
    give: (stack, bastion) => new LinuxHost(stack, 'x', { ssh: { ...SSH, bastion } }),
    prefix: 'ssh.bastion.',
  },
  NetworkInterface: {
    right: () => ({ name: 'eth1' }),
    give: (stack, given) => new LinuxHost(stack, 'x', { ssh: SSH, interfaces: [given] }),
    prefix: 'interfaces[0].',
  },
  RemovedLinuxHostProps: { right: () => ({}), give: (stack, given) => new RemovedLinuxHost(stack, 'x', given) },
  SourceRoutingTableProps: {
    right: (stack) => ({ host: host(stack), tableId: 200 }),
    give: (stack, given) => new SourceRoutingTable(stack, 'x', given),
  },
  RouteOptions: {
    right: (_, property) => ({
      destination: '10.0.0.0/8',
      ...(property === 'nextHops' ? {} : { via: '192.168.1.1', device: 'eth1' }),
    }),
    give: (stack, given) => table(stack).addRoute('x', given),
  },
  RouteProps: {
    right: (stack) => ({ table: table(stack), destination: '10.0.0.0/8', device: 'eth1' }),
    give: (stack, given) => new Route(stack, 'x', given),
  },
  NextHop: {
    right: () => ({ via: '192.168.1.1', device: 'eth1' }),
    give: (stack, given) => table(stack).addRoute('x', { destination: '10.0.0.0/8', nextHops: [given] }),
    prefix: 'nextHops[0].',
  },
  PolicyRuleProps: {
    right: (stack) => ({ table: table(stack), source: '10.10.10.0/24', priority: 10010 }),
    give: (stack, given) => new PolicyRule(stack, 'x', given),
  },
  VpnEgressProps: {
    right: (stack) => ({ host: host(stack), device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS }),
    give: (stack, given) => new VpnEgress(stack, 'x', given),
  },
  NatRouterProps: {
    right: (stack) => ({
      host: new LinuxHost(stack, 'router', { ssh: { ...SSH, host: '192.168.178.3' } }),
      egress: new VpnEgress(stack, 'egress', {
        ...{ host: host(stack), device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS },
        returnAddresses: ['192.168.1.100', 'fd00:1010:1010:1010::100'],
      }),
      inside: 'eth1',
      outside: 'eth2',
    }),
    give: (stack, given) => new NatRouter(stack, 'x', given),
  },
  VpnUpHookProps: {
    right: (stack) => ({ table: table(stack) }),
    give: (stack, given) => new VpnUpHook(stack, 'x', given),
  },
  VpnDaemonOptions: {
    right: () => ({}),
    give: (stack, given) => new VpnUpHook(stack, 'x', { table: table(stack), daemon: VpnDaemon.openVpn(given) }),
  },
  EduVpnProfile: {
    right: () => ({ profileId: 'x' }),
    give: (_, given) => new EduVpnNode([given]),
    prefix: 'profiles[0].',
  },
  SysctlForwardingOptions: { right: () => ({}), give: (_, given) => Forwarding.sysctl(given) },
  NftablesForwardingOptions: { right: () => ({}), give: (_, given) => Forwarding.nftables(given) },
  IptablesForwardingOptions: { right: () => ({}), give: (_, given) => Forwarding.iptables(given) },
  PersistenceOptions: { right: () => ({}), give: (_, given) => Persistence.networkd(given) },
  FlowSelectors: { right: () => tcp, give: (stack, given) => host(stack).lookup(given) },
  Packet: { right: () => ({ destination: '192.0.2.1' }), give: (stack, given) => host(stack).lookup(given) },
  Flow: {
    right: () => flow,
    give: (stack, given) => host(stack).expect('x', given, Expected.unreachable()),
  },
};

/** What we give, and nobody gives us. */
const RESULTS = ['LookupOutcome', 'ReturnRoute'];

const LISTS = 'an empty list says the same as none';
const ANY_NAME = 'any text can be one';
const ZERO = 'zero is a number like another there';

/** Of the wrong values those that are right after all, and why. */
const RIGHT: Record<string, Record<string, string>> = {
  'LinuxHostProps.owner': { '"x"': ANY_NAME },
  'LinuxHostProps.interfaces': { '[]': LISTS },
  'LinuxHostProps.replaceTriggeredBy': { '[]': LISTS },
  'LinuxHostProps.dependsOn': { '[]': LISTS },
  'LinuxHostProps.adopt': { '{}': 'it takes over what is in the kernel' },
  'AdoptOptions.files': { '[]': LISTS },
  'SshConnection.host': { '"x"': ANY_NAME },
  'SshConnection.user': { '"x"': ANY_NAME },
  'SshConnection.privateKeyFile': { '"x"': ANY_NAME },
  'SshConnection.certificateFile': { '"x"': ANY_NAME },
  'SshConnection.scriptDirectory': { '"x"': ANY_NAME },
  'SshBastion.host': { '"x"': ANY_NAME },
  'SshBastion.user': { '"x"': ANY_NAME },
  'SshBastion.privateKeyFile': { '"x"': ANY_NAME },
  'SshBastion.privateKeyEnvironmentVariable': { '"x"': ANY_NAME },
  'NetworkInterface.name': { '"x"': ANY_NAME },
  'NetworkInterface.addresses': { '[]': LISTS },
  'NetworkInterface.gateways': { '[]': LISTS },
  'NetworkInterface.networks': { '[]': LISTS },
  'RemovedLinuxHostProps.privateKeyEnvironmentVariable': { '"x"': ANY_NAME },
  'SourceRoutingTableProps.tableName': { '"x"': ANY_NAME },
  'SourceRoutingTableProps.allowedInterfaces': { '[]': LISTS },
  'RouteOptions.device': { '"x"': ANY_NAME },
  'RouteOptions.metric': { '0': ZERO },
  'NextHop.device': { '"x"': ANY_NAME },
  'PolicyRuleProps.inputInterface': { '"x"': ANY_NAME },
  'PolicyRuleProps.outputInterface': { '"x"': ANY_NAME },
  'PolicyRuleProps.tos': { '0': 'any type of service' },
  'PolicyRuleProps.suppressPrefixLength': { '0': ZERO },
  'PolicyRuleProps.suppressInterfaceGroup': { '0': ZERO },
  'VpnEgressProps.device': { '"x"': ANY_NAME },
  'VpnEgressProps.tableName': { '"x"': ANY_NAME },
  'VpnEgressProps.rejectedClients': { '[]': LISTS },
  'VpnEgressProps.allowedInterfaces': { '[]': LISTS },
  'VpnEgressProps.returnAddresses': { '[]': LISTS },
  'NatRouterProps.inside': { '"x"': ANY_NAME },
  'NatRouterProps.outside': { '"x"': ANY_NAME },
  'EduVpnProfile.profileId': { '"x"': ANY_NAME },
  'EduVpnProfile.oUdpPortList': { '[]': 'there may be TCP alone' },
  'EduVpnProfile.oTcpPortList': { '[]': 'there may be UDP alone' },
  'PersistenceOptions.device': { '"x"': ANY_NAME },
  'FlowSelectors.firewallMark': { '0': ZERO },
  'FlowSelectors.tos': { '0': ZERO },
  'FlowSelectors.sourcePort': { '0': ZERO },
  'FlowSelectors.destinationPort': { '0': ZERO },
  'FlowSelectors.linksDown': { '[]': LISTS },
  'Flow.exceptSources': { '[]': LISTS },
  'Flow.exceptDestinations': { '[]': LISTS },
};

/** What an optional property is missed for. */
const DEMANDED: Record<string, string> = {
  'RouteOptions.nextHops':
    '[stack/vpn/x] has neither via nor device. Give the next hop or the interface, or set a routeType such as RouteType.UNREACHABLE.',
  'PolicyRuleProps.table':
    '[stack/x] has neither table nor action. Set table, or an action such as RuleAction.unreachable().',
};

/** What cdktf and constructs make of it. */
const IDS = Object.fromEntries(['undefined', 'null', '""', '"x"', '0', '{}', '[]'].map((id) => [id, 'not ours']));
const OPTIONS = { 'undefined': 'they may be left out', '{}': 'none' };

const WRONG: unknown[] = [undefined, null, '', 'x', 0, {}, []];

interface Property {
  readonly struct: string;
  readonly name: string;
  readonly optional: boolean;
  readonly list: boolean;
}

/** The public surface, read so that nothing of it can be forgotten. */
function sources(): ts.SourceFile[] {
  const folder = join(__dirname, '../lib');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
    .map((name) => ts.createSourceFile(name, readFileSync(join(folder, name), 'utf8'), ts.ScriptTarget.Latest));
}

function publicInterfaces(): Array<[string, Property[]]> {
  return sources()
    .flatMap((source) =>
      source.statements.filter(
        (node): node is ts.InterfaceDeclaration =>
          ts.isInterfaceDeclaration(node) && !!node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword),
      ),
    )
    .map(({ name: { text: struct }, members }) => [
      struct,
      members.filter(ts.isPropertySignature).map((member) => ({
        struct,
        name: (member.name as ts.Identifier).text,
        optional: member.questionToken !== undefined,
        list: member.type !== undefined && ts.isArrayTypeNode(member.type),
      })),
    ]);
}

function publicParameters(): string[] {
  return sources().flatMap((source) =>
    source.statements.filter(ts.isClassDeclaration).flatMap(({ name, members }) =>
      members.filter(ts.isMethodDeclaration).flatMap((method) => {
        const methodName = (method.name as ts.Identifier).text;
        const hidden = method.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword);
        // Those that begin with an underscore are ours alone, and isX takes anything.
        return hidden || methodName.startsWith('_') || methodName === `is${name?.text}`
          ? []
          : method.parameters.map((each) => `${name?.text}.${methodName}.${(each.name as ts.Identifier).text}`);
      }),
    ),
  );
}

const INTERFACES = publicInterfaces().filter(([name]) => !RESULTS.includes(name));
const PROPERTIES = INTERFACES.flatMap(([, properties]) => properties);

/** What is thrown; nothing where all is well. */
function thrown(act: () => unknown): Error | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

/** One clear error: the path, the property, the value and a fix, and nothing of how it was found. */
function expectClear(error: Error | undefined, property: string, value: string): void {
  expect(error?.message).toMatch(/^\[[^\]]+\] /);
  expect(Errors.isValidationError(error)).toBe(true);
  const told = error?.message.replace(/^\[[^\]]+\] /, '') ?? '';
  expect(told.startsWith(property)).toBe(true);
  // A list or an object that lacks something is told by that.
  const lack = { '[]': / is empty\. /, '{}': / is undefined\. | has neither via nor device\. / }[value];
  expect(lack?.test(told) || told.includes(value) || property === 'ssh.privateKey').toBe(true);
  expect(told).toMatch(
    /\. (Give|Leave|Did you mean|Use|Take|Write|Name|Set)|is not .* or |is not (letters|lower-case|an? )/,
  );
  expect(told).not.toMatch(/Cannot read|is not a function|TfToken/);
}

/** A parameter of a static or other public method, as `Class.method.parameter`. */
interface Parameter {
  readonly give: (stack: TerraformStack, given: never) => unknown;
  /** What messages call it. */
  readonly called: string;
  readonly right?: Record<string, string>;
}

const rule = (stack: TerraformStack, props: object): unknown =>
  new PolicyRule(stack, 'x', { table: table(stack), source: '10.10.10.0/24', priority: 10010, ...props });
const egress = (stack: TerraformStack, props: object): unknown =>
  new VpnEgress(stack, 'x', {
    host: host(stack),
    device: 'eth1',
    tableId: 200,
    clients: POOLS,
    gateways: GATEWAYS,
    ...props,
  });
const expects = (stack: TerraformStack, expected: Expected): void => host(stack).expect('x', flow, expected);
const UNSET = { undefined: 'it may be left out' };

const PARAMETERS: Record<string, Parameter> = {
  'Errors.isValidationError.caught': {
    give: (_, given) => Errors.isValidationError(given),
    called: '',
    right: Object.fromEntries(['undefined', 'null', '""', '"x"', '0', '{}', '[]'].map((each) => [each, 'any value'])),
  },
  'Expected.via.gateway': { give: (stack, given) => expects(stack, Expected.via(given)), called: 'gateway' },
  'Expected.via.device': {
    give: (stack, given) => expects(stack, Expected.via('192.168.1.1', given)),
    called: 'device',
    right: { ...UNSET, '"x"': ANY_NAME },
  },
  'Expected.device.name': {
    give: (stack, given) => expects(stack, Expected.device(given)),
    called: 'device',
    right: { '"x"': ANY_NAME },
  },
  'Expected.anyOf.expected': {
    give: (stack, given) => expects(stack, Expected.anyOf(given)),
    called: 'expected[0]',
  },
  'IpProtocol.of.number': {
    give: (stack, given) => rule(stack, { ipProtocol: IpProtocol.of(given) }),
    called: 'ipProtocol',
  },
  'SourceNat.to.addresses': { give: (_, given) => SourceNat.to(given), called: 'addresses' },
  'EduVpnNode.clients.profileId': {
    give: (_, given) => new EduVpnNode([{ profileId: 'staff' }]).clients(given),
    called: 'profileId',
  },
  'NumberRange.of.value': {
    give: (stack, given) => rule(stack, { uidRange: NumberRange.of(given) }),
    called: 'uidRange',
    right: { '0': ZERO },
  },
  'NumberRange.between.first': {
    give: (stack, given) => rule(stack, { uidRange: NumberRange.between(given, 7) }),
    called: 'uidRange',
    right: { '0': ZERO },
  },
  'NumberRange.between.last': {
    give: (stack, given) => rule(stack, { uidRange: NumberRange.between(7, given) }),
    called: 'uidRange',
  },
  'RuleAction.goTo.priority': {
    give: (stack, given) =>
      new PolicyRule(stack, 'x', { host: host(stack), action: RuleAction.goTo(given), priority: 10010 }),
    called: 'action goTo',
  },
  'LocalTraffic.upHook.daemon': {
    give: (_, given) => LocalTraffic.upHook(given),
    called: 'daemon',
    right: UNSET,
  },
  'Resolver.user.uid': {
    give: (stack, given) => egress(stack, { resolver: Resolver.user(given) }),
    called: 'resolver user',
  },
  'Resolver.port.port': {
    give: (stack, given) => egress(stack, { resolver: Resolver.port(given) }),
    called: 'resolver port',
  },
  'Drift.inPlan.options': { give: (_, given) => Drift.inPlan(given), called: 'options', right: OPTIONS },
  'CloudInit.of.host': { give: (_, given) => CloudInit.of(given), called: 'host' },
  'CloudInit.userDataWith.others': {
    give: (stack, given) => CloudInit.of(host(stack)).userDataWith(given),
    called: 'others',
    right: { '[]': 'then it is alone in the message' },
  },
  'SourceRoutingTable.main.host': { give: (_, given) => SourceRoutingTable.main(given), called: 'host' },
  'SourceRoutingTable.addRoute.id': {
    give: (stack, given) => table(stack).addRoute(given, { destination: '10.0.0.0/8', device: 'eth1' }),
    called: '',
    right: IDS,
  },
  'SourceRoutingTable.addRoute.options': {
    give: (stack, given) => table(stack).addRoute('x', given),
    called: 'options',
  },
  'LinuxHost.lookup.packet': { give: (stack, given) => host(stack).lookup(given), called: 'packet' },
  'LinuxHost.expect.id': {
    give: (stack, given) => host(stack).expect(given, flow, Expected.unreachable()),
    called: 'id',
    right: { '"x"': ANY_NAME },
  },
  'LinuxHost.expect.flow': {
    give: (stack, given) => host(stack).expect('x', given, Expected.unreachable()),
    called: 'flow',
  },
  'LinuxHost.expect.expected': {
    give: (stack, given) => host(stack).expect('x', flow, given),
    called: 'expected',
  },
  ...Object.fromEntries(
    (['networkd', 'netplan', 'networkManager', 'networkScripts', 'ifupdown', 'auto'] as const).map((name) => [
      `Persistence.${name}.options`,
      { give: (_: TerraformStack, given: never) => Persistence[name](given), called: 'options', right: OPTIONS },
    ]),
  ),
  ...Object.fromEntries(
    (['sysctl', 'nftables', 'iptables', 'ufw', 'firewalld'] as const).map((name) => [
      `Forwarding.${name}.options`,
      {
        give: (_: TerraformStack, given: never) => Forwarding[name](given),
        called: 'options',
        right: { ...UNSET, '{}': 'all may be left out' },
      },
    ]),
  ),
  ...Object.fromEntries(
    (['openVpn', 'wireGuard'] as const).map((name) => [
      `VpnDaemon.${name}.options`,
      { give: (_: TerraformStack, given: never) => VpnDaemon[name](given), called: 'options', right: OPTIONS },
    ]),
  ),
};

test('every public options object and every property of it is looked at', () => {
  expect(INTERFACES.map(([name]) => name).sort()).toEqual(Object.keys(STRUCTS).sort());
  expect(PROPERTIES.length).toBeGreaterThan(90);
  const names = PROPERTIES.map(({ struct, name }) => `${struct}.${name}`);
  expect(Object.keys(RIGHT).filter((name) => !names.includes(name))).toEqual([]);
});

test.each(PROPERTIES.map((property) => [`${property.struct}.${property.name}`, property] as const))(
  '%s is right, or told by its name and value',
  (name, { struct, name: property, optional, list }) => {
    const { right, give, prefix = '' } = STRUCTS[struct];
    const error = (value: unknown): Error | undefined => {
      const stack = newStack();
      return thrown(() => give(stack, { ...right(stack, property), [property]: value } as never));
    };
    for (const value of WRONG) {
      const shown = value === undefined ? 'undefined' : JSON.stringify(value);
      if (RIGHT[name]?.[shown] !== undefined || (value === undefined && optional)) {
        expect([shown, error(value)?.message]).toEqual([shown, DEMANDED[name]]);
      } else {
        expectClear(error(value), `${prefix}${property}`, shown);
      }
    }
    for (const value of list ? WRONG.filter((each) => each !== 'x') : []) {
      const shown = value === undefined ? 'undefined' : JSON.stringify(value);
      expectClear(error([value]), `${prefix}${property}[0]`, shown);
    }
  },
);

describe('a property that does not exist', () => {
  const structs = Object.entries(STRUCTS).filter(([name]) => name !== 'EduVpnProfile');
  const error = ({ right, give }: Struct, given: (stack: TerraformStack) => object): Error | undefined => {
    const stack = newStack();
    return thrown(() => give(stack, Object.assign(given(stack), right(stack, '')) as never));
  };

  test.each(structs)('in %s is told', (_, struct) => {
    const { prefix = '' } = struct;
    const { message } = error(struct, () => ({ zebra: null })) ?? {};
    expect(message?.replace(/^\[[^\]]+\] /, '')).toBe(
      `${prefix}zebra is not a property that exists. Correct its name, or leave it out.`,
    );
  });
  test.each(Object.entries(STRUCTS))('in %s is fine if undefined, or of a class', (name, struct) => {
    class Config {
      public readonly zebra = 1;
    }
    expect(error(struct, () => ({ zebra: undefined }))).toBeUndefined();
    // addRoute() makes a plain object of its options.
    expect(error(struct, () => (name === 'RouteOptions' ? {} : new Config()))).toBeUndefined();
  });

  const aHost = (props: object) => (stack: TerraformStack) => newHost(stack, props);
  test.each<[(stack: TerraformStack) => unknown, string]>([
    [
      (stack) => egress(stack, { rejectedClient: [] }),
      'rejectedClient is not a property that exists. Did you mean rejectedClients?',
    ],
    [(stack) => egress(stack, { gateway: GATEWAYS }), 'gateway is not a property that exists. Did you mean gateways?'],
    [
      (stack) => egress(stack, { failclosed: false }),
      'failclosed is not a property that exists. Did you mean failClosed?',
    ],
    [(stack) => egress(stack, { table_id: 7 }), 'table_id is not a property that exists. Did you mean tableId?'],
    [
      (stack) => new LinuxHost(stack, 'x', { sssh: SSH } as never),
      'sssh is not a property that exists. Did you mean ssh?',
    ],
    [
      aHost({ ssh: { ...SSH, prot: 22 } }),
      'ssh.prot is not a property that exists. Correct its name, or leave it out.',
    ],
    [
      aHost({ interfaces: [{ name: 'eth1', adresses: [] }] }),
      'interfaces[0].adresses is not a property that exists. Did you mean addresses?',
    ],
    [aHost({ 'a b': 1 }), '"a b" is not a property that exists. Correct its name, or leave it out.'],
    [
      () => new EduVpnNode([{ profileId: 'x', oRangefour: '10.0.0.0/24' } as never]),
      'profiles[0].oRangefour is not a property that exists. Did you mean oRangeFour?',
    ],
  ])('is told with what is meant, if that is near (%#)', (make, message) => {
    expect(thrown(() => make(newStack()))?.message.replace(/^\[[^\]]+\] /, '')).toBe(message);
  });
  test('of eduVPN may be in its profiles', () => {
    const profile = { profileId: 'x', displayName: 'X', hostName: 'vpn.example', oExposedUdpPortList: [443] };
    expect(new EduVpnNode([profile]).interfaces).toEqual([]);
  });
});

test('every parameter of a public method is looked at', () => {
  expect(publicParameters().sort()).toEqual(Object.keys(PARAMETERS).sort());
});

test.each(Object.entries(PARAMETERS).filter(([, { right }]) => right !== IDS))(
  '%s is right, or told by its name and value',
  (_, { give, called, right = {} }) => {
    for (const value of WRONG) {
      const shown = value === undefined ? 'undefined' : JSON.stringify(value);
      const error = thrown(() => give(newStack(), value as never));
      if (right[shown] !== undefined) {
        expect([shown, error?.message]).toEqual([shown, undefined]);
      } else if (shown === '{}' && ['packet', 'flow', 'options'].includes(called)) {
        expectClear(error, 'destination', shown);
      } else {
        expectClear(error, called, shown);
      }
    }
  },
);

const variable = (stack: TerraformStack): TerraformVariable => new TerraformVariable(stack, 'v', {});
const KEY = '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n-----END OPENSSH PRIVATE KEY-----\n';
const SECRET = 'b3BlbnNzaC1rZXktdjEAAAAABG5vbmU';
const FILE = 'the path of a file such as "~/.ssh/id_ed25519"';

describe('a private key is never shown', () => {
  const asText = `is the text of a private key, which is not shown here. Give ${FILE}.`;
  const asContents =
    'is the contents of a file, or a key, so the state would show it to everybody. Give the path of the file.';
  test.each<[string, (stack: TerraformStack) => string, string]>([
    ['as it is', () => KEY, asText],
    ['in one line', () => KEY.replace(/\n/g, ' '), asText],
    ['in base64', () => Buffer.from(KEY).toString('base64'), asText],
    ['without its frame', () => SECRET, asText],
    ['of PuTTY', () => `PuTTY-User-Key-File-3: ssh-ed25519\n${SECRET}`, asText],
    ['beside a token', (stack) => `${KEY}${variable(stack).stringValue}`, asText],
    ['read by Terraform', () => Fn.file('~/.ssh/id_ed25519'), asContents],
    ['decoded by Terraform', (stack) => Token.asString(Fn.base64decode(variable(stack).stringValue)), asContents],
    ['in a lazy value', () => Lazy.stringValue({ produce: () => KEY }), asContents],
    [
      'made by a resource',
      (stack) =>
        new TerraformResource(stack, 'k', { terraformResourceType: 'tls_private_key' }).getStringAttribute(
          'private_key_pem',
        ),
      asContents,
    ],
    [
      'of no known format',
      () => 'first line\nsecond line',
      'has a line break, so it is not a path. It is not shown here. Give the path of the file.',
    ],
  ])('%s', (_, key, reason) => {
    for (const [property, given] of [
      ['ssh.privateKeyFile', (text: string) => ({ privateKeyFile: text })],
      ['ssh.certificateFile', (text: string) => ({ certificateFile: text })],
      ['ssh.bastion.privateKeyFile', (text: string) => ({ bastion: { host: 'b', privateKeyFile: text } })],
    ] as const) {
      const stack = newStack();
      const error = thrown(() => newHost(stack, { ssh: { ...SSH, ...given(key(stack)) } }));
      expect(error?.message).toBe(`[stack/vpn1] ${property} ${reason}`);
    }
  });

  test.each(['host', 'user', 'hostKey', 'privateKey', 'scriptDirectory'])('in ssh.%s', (property) => {
    const error = thrown(() => newHost(newStack(), { ssh: { ...SSH, [property]: KEY } }));
    expect(error?.message).toContain(`[stack/vpn1] ssh.${property} is `);
    expect(error?.message).not.toContain('b3Bl');
  });
});

describe('says what is wrong, and what to do', () => {
  const aHost = (ssh: object) => (stack: TerraformStack) => newHost(stack, { ssh: { ...SSH, ...ssh } });
  const loose = (props: object) => (stack: TerraformStack) => newHost(stack, props);
  const aRule = (props: object) => (stack: TerraformStack) => rule(stack, props);
  const anEgress = (props: object) => (stack: TerraformStack) => egress(stack, props);
  const aRoute = (props: object) => (stack: TerraformStack) => table(stack).addRoute('x', props as RouteOptions);
  const MISSING = 'if it comes from the environment or a file, it is missing there.';
  const ONLY_FOR_EACH =
    'is a value of a TerraformIterator or TerraformCount, which has a value only in a resource with forEach or count. Give a TerraformIterator as forEach of the LinuxHost, or declare one host for each machine in a loop of the program.';
  const iterator = TerraformIterator.fromMap({ a: { ip: '192.0.2.1', port: 22 } });

  test.each<[(stack: TerraformStack) => unknown, string]>([
    [
      aHost({ privateKeyFile: '~/.ssh/id.pub' }),
      'vpn1] ssh.privateKeyFile "~/.ssh/id.pub" has the name of a public key. Did you mean "~/.ssh/id"?',
    ],
    [
      (stack) => aHost({ privateKeyFile: `/keys/${variable(stack).stringValue}.pub` })(stack),
      'vpn1] ssh.privateKeyFile has the name of a public key. Give the path of the private key.',
    ],
    [
      aHost({ privateKeyFile: 'C:\\id.ppk' }),
      'vpn1] ssh.privateKeyFile "C:\\\\id.ppk" is a PuTTY key, which Terraform cannot read. Convert it: puttygen KEY.ppk -O private-openssh -o KEY.',
    ],
    [
      aHost({ privateKeyFile: '~admin/.ssh/id' }),
      'vpn1] ssh.privateKeyFile "~admin/.ssh/id" begins with "~" and a user name, but Terraform expands only "~/". Give the whole path.',
    ],
    [
      aHost({ certificateFile: '~admin/c' }),
      'vpn1] ssh.certificateFile "~admin/c" begins with "~" and a user name, but Terraform expands only "~/". Give the whole path.',
    ],
    [
      aHost({ bastion: { host: 'b', privateKeyFile: '~admin/c' } }),
      'vpn1] ssh.bastion.privateKeyFile "~admin/c" begins with "~" and a user name, but Terraform expands only "~/". Give the whole path.',
    ],
    [
      aHost({ certificateFile: 'ssh-rsa-cert-v01@openssh.com AAAA' }),
      'vpn1] ssh.certificateFile "ssh-rsa-cert-v01@openssh.com AAAA" is the text of a key or certificate. Give the path of its file.',
    ],
    [
      aHost({ privateKeyFile: 'é'.repeat(2048) }),
      'vpn1] ssh.privateKeyFile is too long: 4096 bytes, but a path has at most 4095. Give the path of the file.',
    ],
    [
      aHost({ host: '192.0.2.1:2222' }),
      'vpn1] ssh.host "192.0.2.1:2222" has a port in it. Set ssh.port, and leave out the ":" and the port here.',
    ],
    [
      aHost({ host: '[2001:db8::1]:22' }),
      'vpn1] ssh.host "[2001:db8::1]:22" has a port in it. Set ssh.port, and leave out the ":" and the port here.',
    ],
    [
      (stack) => aHost({ host: `${variable(stack).stringValue}:22` })(stack),
      'vpn1] ssh.host has a port in it. Set ssh.port, and leave out the ":" and the port here.',
    ],
    [
      aHost({ host: 'root@vpn1' }),
      'vpn1] ssh.host "root@vpn1" has a user in it. Set ssh.user, and leave out everything up to the "@" here.',
    ],
    [
      (stack) => aHost({ host: `root@${variable(stack).stringValue}` })(stack),
      'vpn1] ssh.host has a user in it. Set ssh.user, and leave out everything up to the "@" here.',
    ],
    [
      aHost({ bastion: { host: 'root@b' } }),
      'vpn1] ssh.bastion.host "root@b" has a user in it. Set ssh.bastion.user, and leave out everything up to the "@" here.',
    ],
    [
      aHost({ host: 'ssh://root@vpn1' }),
      'vpn1] ssh.host "ssh://root@vpn1" is a URL. Give the host name or IP address alone.',
    ],
    [aHost({ host: '[2001:db8::1]' }), 'vpn1] ssh.host "[2001:db8::1]" has brackets. Did you mean "2001:db8::1"?'],
    [
      aHost({ host: 'fe80::1%eth0' }),
      'vpn1] ssh.host "fe80::1%eth0" has a zone, which Terraform does not support. Give an address without one.',
    ],
    [aHost({ host: '192.0.2.1/24' }), 'vpn1] ssh.host "192.0.2.1/24" has a prefix length. Did you mean "192.0.2.1"?'],
    [aHost({ host: undefined }), `vpn1] ssh.host is undefined. Give a host name or an IP address; ${MISSING}`],
    [aHost({ port: '22' }), 'vpn1] ssh.port "22" is a string, not a number. Give a port number, without quotes: 22.'],
    [
      (stack) => aHost({ port: variable(stack).stringValue })(stack),
      'vpn1] ssh.port is a string that is known at apply only, not a number. Give a port number.',
    ],
    [loose({ ensure: 'ABSENT' }), 'vpn1] ensure "ABSENT" is a string, not a HostState. Did you mean HostState.ABSENT?'],
    [
      loose({ ensure: 'gone' }),
      'vpn1] ensure "gone" is a string, not a HostState. Give HostState.PRESENT or HostState.ABSENT.',
    ],
    [
      loose({ engine: 'null' }),
      'vpn1] engine "null" is a string, not an Engine. Give Engine.TERRAFORM_DATA or Engine.NULL_RESOURCE.',
    ],
    [
      loose({ persistence: 'networkd' }),
      'vpn1] persistence "networkd" is a string, not a Persistence. Give one such as Persistence.service().',
    ],
    [
      loose({ allowManagementPathChange: 'true' }),
      'vpn1] allowManagementPathChange "true" is a string, not true or false. Give one of the two, without quotes.',
    ],
    [
      loose({ interfaces: [undefined] }),
      `vpn1] interfaces[0] is undefined. Give an object such as { name: "eth1" }; ${MISSING}`,
    ],
    [
      loose({ interfaces: ['eth1'] }),
      'vpn1] interfaces[0] "eth1" is a string, not an object. Give an object such as { name: "eth1" }.',
    ],
    [
      loose({ interfaces: [{ name: 'all' }] }),
      'vpn1] interfaces[0].name "all" cannot be the name of an interface: the kernel reserves it in /proc/sys/net/ipv4/conf. Give a name that "ip link" shows.',
    ],
    [
      loose({ dependsOn: ['aws_eip.vpn'] }),
      'vpn1] dependsOn[0] "aws_eip.vpn" is a string, not an ITerraformDependable. Give a resource, or a construct of this library.',
    ],
    [
      aRule({ ipProtocol: 'tcp' }),
      'x] ipProtocol "tcp" is a string, not an IpProtocol. Give one such as IpProtocol.TCP.',
    ],
    [
      aRule({ ipProtocol: IpProtocol.of('6' as unknown as number) }),
      'x] ipProtocol "6" is a string, not a number. Give an integer from 1 to 255, without quotes: 6.',
    ],
    [aRule({ families: [4] }), 'x] families[0] 4 is a number, not an IpFamily. Give IpFamily.IPV4 or IpFamily.IPV6.'],
    [aRule({ families: 'ipv4' }), 'x] families "ipv4" is a string, not a list. Give a list such as [IpFamily.IPV4].'],
    [
      aRule({ priority: '10010' }),
      'x] priority "10010" is a string, not a number. Give an integer from 100 to 32765, without quotes: 10010.',
    ],
    [aRule({ priority: undefined }), `x] priority is undefined. Give an integer from 100 to 32765; ${MISSING}`],
    [aRule({ source: null }), `x] source is null. Leave it out, or give a prefix such as "10.10.10.0/24"; ${MISSING}`],
    [aRule({ source: 10 }), 'x] source 10 is a number, not a string. Give a prefix such as "10.10.10.0/24".'],
    [
      aRule({ table: NumberRange.of(7) }),
      'x] table is a NumberRange, not a SourceRoutingTable. Give the construct itself.',
    ],
    [
      aRule({ destinationPorts: 53 }),
      'x] destinationPorts 53 is a number, not a NumberRange. Give one such as NumberRange.between(5000, 5009).',
    ],
    [
      aRule({ inputInterface: '--' }),
      'x] inputInterface "--" begins with "-", which commands would read as an option. Rename the interface, or give another.',
    ],
    [
      anEgress({ localTraffic: 'isolated' }),
      'x] localTraffic "isolated" is a string, not a LocalTraffic. Give one such as LocalTraffic.mainTable().',
    ],
    [
      anEgress({ localTraffic: VpnDaemon.openVpn() }),
      'x] localTraffic is a VpnDaemon, not a LocalTraffic. Give one such as LocalTraffic.mainTable().',
    ],
    [
      anEgress({ resolver: 'unbound' }),
      'x] resolver "unbound" is a string, not a Resolver. Give one such as Resolver.user(105).',
    ],
    [
      anEgress({ clients: '10.10.10.0/24' }),
      'x] clients "10.10.10.0/24" is a string, not a list. Give a list such as ["10.10.10.0/24"].',
    ],
    [
      anEgress({ clients: [undefined] }),
      `x] clients[0] is undefined. Give a prefix such as "10.10.10.0/24"; ${MISSING}`,
    ],
    [
      anEgress({ clients: new Array(1) }),
      `x] clients[0] is undefined. Give a prefix such as "10.10.10.0/24"; ${MISSING}`,
    ],
    [
      anEgress({ gateways: [] }),
      'x] gateways is empty. Give the NAT router\'s addresses on device, such as "192.168.1.1", or "dhcp4" and "ra" if the machine gets them that way. Leave gateways out if device is a point-to-point link (PPP, WireGuard).',
    ],
    [
      anEgress({ device: 'averyverylongname' }),
      'x] device "averyverylongname" is too long: 17 bytes, but an interface name has at most 15. Write it as "ip link" shows it.',
    ],
    [
      (stack) => anEgress({ clients: [...variable(stack).listValue, '10.0.0.0/8'] })(stack),
      'x] clients is a list that is known at apply only, but its length must be known at synth. Give its elements, for example Fn.element(list, 0).',
    ],
    [
      (stack) => anEgress({ device: variable(stack).listValue[0] })(stack),
      'x] device is a whole list that is known at apply only. Give one of its elements: Fn.element(list, 0).',
    ],
    [
      (stack) => anEgress({ device: Token.asAny(variable(stack).value) })(stack),
      'x] device is known at apply only, and is not a string. Wrap it: Token.asString(...).',
    ],
    [aHost({ host: iterator.getString('ip') }), `vpn1] ssh.host ${ONLY_FOR_EACH}`],
    [aHost({ host: `${iterator.key}.example.org` }), `vpn1] ssh.host ${ONLY_FOR_EACH}`],
    [aHost({ port: iterator.getNumber('port') }), `vpn1] ssh.port ${ONLY_FOR_EACH}`],
    [aHost({ privateKey: iterator.getString('key') }), `vpn1] ssh.privateKey ${ONLY_FOR_EACH}`],
    [anEgress({ clients: [Token.asString(iterator.value)] }), `x] clients[0] ${ONLY_FOR_EACH}`],
    [
      anEgress({ clients: iterator.getList('pools') }),
      'x] clients is a list that is known at apply only, but its length must be known at synth. Give its elements, for example Fn.element(list, 0).',
    ],
    [anEgress({ tableId: TerraformCount.of(2).index }), `x] tableId ${ONLY_FOR_EACH}`],
    [
      aHost({ host: ' 192.0.2.1\n' }),
      'vpn1] ssh.host " 192.0.2.1\\n" has a blank or a line break at its start or end. Did you mean "192.0.2.1"?',
    ],
    [
      (stack) => aHost({ host: `${variable(stack).stringValue} ` })(stack),
      'vpn1] ssh.host has a blank or a line break at its start or end. Leave that out.',
    ],
    [
      (stack) => new LinuxHost(stack, 'x', undefined as never),
      `x] props is undefined. Give an object with ssh; ${MISSING}`,
    ],
    [
      (stack) => new PolicyRule(stack, 'x', [] as never),
      'x] props [] is a list, not an object. Give an object with priority.',
    ],
    [
      (stack) => new RemovedLinuxHost(stack, 'x', 'vpn' as never),
      'x] props "vpn" is a string, not an object. Give an object.',
    ],
    [
      aRoute({ destination: 'default', nextHops: [{}] }),
      'vpn/x] nextHops[0] has neither via nor device. Give the next hop or the interface.',
    ],
    [
      aRoute({ destination: 'default', nextHops: [{ via: undefined, onLink: true }] }),
      'vpn/x] nextHops[0] has neither via nor device. Give the next hop or the interface.',
    ],
    [
      aRoute({ destination: 'default', nextHops: [null] }),
      `vpn/x] nextHops[0] is null. Give an object such as { via: "192.168.1.1" }; ${MISSING}`,
    ],
    [
      aRoute({ destination: 'default', device: 'eth1', routeType: 'drop' }),
      'vpn/x] routeType "drop" is a string, not a RouteType. Give RouteType.UNICAST or RouteType.BLACKHOLE or RouteType.UNREACHABLE or RouteType.PROHIBIT or RouteType.THROW.',
    ],
  ])('%#', (make, message) => {
    const error = thrown(() => make(newStack()));
    expect(error?.message).toBe(`[stack/${message}`);
    expect(Errors.isValidationError(error)).toBe(true);
  });
});

test('a value of a TerraformIterator in another expression than its own is no iterator value', () => {
  const stack = newStack();
  const text = Token.asString(Fn.join('each.value', ['a', variable(stack).stringValue]));
  expect(() => newHost(stack, { ssh: { ...SSH, host: text } })).not.toThrow();
});

test('tokens that cannot be read yet are left alone', () => {
  const early = Lazy.stringValue({
    produce: () => {
      throw new Error('too early');
    },
  });
  expect(() => newHost(newStack(), { ssh: { ...SSH, host: early, privateKeyFile: early } })).not.toThrow();
});
