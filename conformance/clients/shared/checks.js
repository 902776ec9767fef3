// The runner that the Node clients share: it runs checks one after the other, prints a line for each, and bounds its
// time. What a check does, and with which library, lives in the client's own folder.
'use strict';

const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');

const CHECK_MILLISECONDS = 20_000;

// Thrown by a check that this client cannot make; its message says why.
class Skip extends Error {}

// A name part that no other run uses.
const token = () => randomBytes(4).toString('hex');

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function within(promise, what, milliseconds = 10_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${milliseconds} ms for ${what}`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function waitUntil(ready, what, milliseconds = 10_000) {
  const deadline = Date.now() + milliseconds;
  while (!ready()) {
    if (Date.now() > deadline) throw new Error(`waited ${milliseconds} ms for ${what}`);
    await sleep(5);
  }
}

// The error that the promise is rejected with; that it is not rejected fails the check.
async function errorOf(promise, what) {
  let result;
  try {
    result = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`${what} was accepted: ${JSON.stringify(result)}`);
}

const oneLine = (error) => `${error.name}: ${error.message}`.replace(/\s+/g, ' ').slice(0, 400);

// Runs each of the async functions with a scope of its own; `scope.close()` ends its connections and deletes what it
// declared.
async function runChecks(checks, openScope) {
  for (const check of checks) {
    const scope = openScope();
    try {
      try {
        await within(check(scope), 'the check to end', CHECK_MILLISECONDS);
      } finally {
        await within(scope.close(), 'the check to clean up', CHECK_MILLISECONDS);
      }
      console.log(`ok ${check.name}`);
    } catch (error) {
      if (error instanceof Skip) {
        console.log(`skip ${check.name}: ${error.message}`);
      } else {
        console.error(error);
        console.log(`FAIL ${check.name}: ${oneLine(error)}`);
      }
    }
  }
  console.log('end');
  process.exit(0);
}

module.exports = { assert, errorOf, runChecks, Skip, sleep, token, waitUntil, within };
