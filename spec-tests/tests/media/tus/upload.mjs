// Uploads a file and lets the upload break off a few times: node upload.mjs ENDPOINT FILE
import fs from "node:fs";
import * as tus from "tus-js-client";

const [endpoint, path] = process.argv.slice(2);
const size = fs.statSync(path).size;
const headers = { Authorization: `Bearer ${process.env.TOKEN}` };

let url = null;
let uri = null;
let interruptions = 0;

// One attempt; ends by itself after `bytes` unless they are enough.
function attempt(bytes) {
    return new Promise((resolve, reject) => {
        const upload = new tus.Upload(fs.createReadStream(path), {
            endpoint,
            uploadUrl: url,
            headers,
            uploadSize: size,
            chunkSize: 1_500_000,
            retryDelays: null,
            metadata: { filename: "from tus.bin", filetype: "application/octet-stream" },
            onAfterResponse: (_, response) => {
                uri = response.getHeader("Matrix-Content-Uri") ?? uri;
            },
            onProgress: (sent) => {
                if (sent >= bytes && sent < size) {
                    upload.abort().then(() => resolve(false), reject);
                }
            },
            onError: reject,
            onSuccess: () => resolve(true),
        });
        upload.options.onUploadUrlAvailable = () => {
            url = upload.url;
        };
        upload.start();
    });
}

for (const bytes of [200_000, 1_700_000, 3_200_000, 5_000_000, Infinity]) {
    if (await attempt(bytes)) break;
    interruptions += 1;
}
console.log(JSON.stringify({ uri, interruptions }));
