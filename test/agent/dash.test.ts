import { DASH } from './machine';
import { agentSuite } from './suite';

agentSuite(DASH);
