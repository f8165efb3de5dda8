/**
 * Compares the lookup with the kernel of this machine, as root:
 * `npm run fuzz:lookup -- --lookups 100000 --seed 7`.
 */
import { parseArgs } from 'node:util';
import { record } from './record';
import { report } from './report';
import { disagreements } from './compare';

const { values } = parseArgs({
  options: {
    lookups: { type: 'string', default: '10000' },
    seed: { type: 'string', default: String(Date.now() % 1e6) },
  },
});
const lookups = Number(values.lookups);
const seed = Number(values.seed);
if (!(lookups > 0) || !Number.isInteger(seed)) {
  throw new Error(`--lookups "${values.lookups}" --seed "${values.seed}": two numbers are wanted, lookups above 0.`);
}

const started = performance.now();
let asked = 0;
let machines = 0;
let refused = 0;
for (const recorded of record(seed, lookups)) {
  const [first] = disagreements(recorded);
  if (first) {
    console.log(`seed ${seed}, machine ${machines}, after ${asked} lookups:\n\n${report(recorded, first.index)}`);
    process.exit(1);
  }
  asked += recorded.packets.length;
  machines += 1;
  refused += recorded.refused.length;
  if (process.stderr.isTTY && machines % 10 === 0) {
    process.stderr.write(`\r${asked} lookups`);
  }
}
const seconds = (performance.now() - started) / 1000;
console.log(
  `seed ${seed}: ${asked} lookups on ${machines} machines agree with the kernel (${refused} commands refused by it), ${seconds.toFixed(0)} s`,
);
