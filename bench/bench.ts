import { benchAgent } from './agent';
import { benchForwarding } from './forwarding';
import { benchLookup } from './lookup';

benchLookup();
benchAgent();
benchForwarding();
