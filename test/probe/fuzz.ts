/**
 * Compares what the probe of the agent says of packets with the lookup, on random machines, as root:
 * `npm run fuzz:probe -- --machines 1000 --seed 7`.
 */
import { parseArgs } from 'node:util';
import { disagreements } from './compare';
import { record } from './record';
import { report } from './report';

const { values } = parseArgs({
  options: {
    machines: { type: 'string', default: '100' },
    seed: { type: 'string', default: String(Date.now() % 1e6) },
  },
});
const wanted = Number(values.machines);
const seed = Number(values.seed);
if (!(wanted > 0) || !Number.isInteger(seed)) {
  throw new Error(`--machines "${values.machines}" --seed "${values.seed}": two numbers are wanted, machines above 0.`);
}

const started = performance.now();
const count = { leave: 0, stay: 0, dropped: 0 };
let machines = 0;
for (const probed of record(seed, wanted)) {
  const [first, ...others] = disagreements(probed);
  if (first) {
    console.log(
      `seed ${seed}, machine ${machines}, and of ${others.length} more packets:\n\n${report(probed, first.index)}`,
    );
    process.exit(1);
  }
  for (const said of probed.said) {
    count[said.startsWith('leave') ? 'leave' : said.startsWith('reach') ? 'stay' : 'dropped']++;
  }
  machines += 1;
  if (process.stderr.isTTY) {
    process.stderr.write(`\r${machines} machines`);
  }
}
const seconds = (performance.now() - started) / 1000;
console.log(
  `seed ${seed}: on ${machines} machines, the probe and the lookup agree: ${count.leave} packets leave, ${count.stay} reach the machine, ${count.dropped} are not routed, ${seconds.toFixed(0)} s`,
);
