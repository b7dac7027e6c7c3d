import { testBriefly } from '@sluice/testing/fuzz';
import { masker } from './text.fuzz.ts';

testBriefly([masker], 200);
