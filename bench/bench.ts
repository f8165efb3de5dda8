import { benchAgent } from './agent';
import { benchApply } from './apply';
import { benchFleet } from './fleet';
import { benchForwarding } from './forwarding';
import { benchLookup } from './lookup';
import { benchVerify } from './verify';

benchLookup();
benchFleet();
benchAgent();
benchForwarding();
benchApply()
  .then(benchVerify)
  .catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
