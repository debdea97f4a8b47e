// One tab at a time has the account: two of them would write the same keys, and break each other's encryption.
// The lock is the page's until it goes; whoever wants it asks, and takes it from a page that does not answer.

const NAME = "kith";
/** Milliseconds: a page that was left a moment ago lets go in less; one that was asked puts its things away first. */
const [MOMENT, PATIENCE] = [500, 6000];

let wish;
const wished = new Promise((resolve) => (wish = resolve));
let had = false;
let channel;

/** True once this page has the lock. False: another one has it, and `insist` was not said. */
export async function claim(insist) {
    // Browsers give locks to pages of HTTPS and of this machine only. Without them nobody is kept out.
    if (!navigator.locks) return true;
    if (!channel) {
        channel = new BroadcastChannel(NAME);
        channel.onmessage = () => had && wish();
    }
    if (insist) channel.postMessage("asked for");
    try {
        await hold({ signal: AbortSignal.timeout(insist ? PATIENCE : MOMENT) });
    } catch {
        if (!insist) return false;
        await hold({ steal: true });
    }
    return true;
}

/** Resolves when another page asks for the lock, or has taken it. */
export const asked = () => wished;

function hold(options) {
    return new Promise((resolve, reject) => {
        const keep = () => {
            had = true;
            resolve();
            return new Promise(() => {});
        };
        // It fails before this page has the lock, or when the lock is taken from it.
        navigator.locks.request(NAME, options, keep).catch((error) => (had ? wish() : reject(error)));
    });
}
