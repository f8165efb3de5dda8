import { BASH } from './machine';
import { agentSuite } from './suite';

agentSuite(BASH);
