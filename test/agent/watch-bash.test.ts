import { BASH } from './machine';
import { watchSuite } from './watch-suite';

watchSuite(BASH);
