import { benchAgent } from './agent';
import { benchLookup } from './lookup';

benchLookup();
benchAgent();
