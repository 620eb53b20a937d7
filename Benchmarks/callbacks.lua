-- wrk: the vendor's V2 POST, 163 bytes, a number out of 10,000, a reference that never repeats.
-- arguments after `--`: PATH [header name] [header value]
local random, format = math.random, string.format
local head, middle, tail

function init(args)
    math.randomseed(os.time())
    local headers = "Host: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 163\r\n"
    if args[2] then headers = headers .. args[2] .. ": " .. args[3] .. "\r\n" end
    head = "POST " .. args[1] .. " HTTP/1.1\r\n" .. headers .. "\r\n"
        .. '{"Status":"DELIVRD","EventId":1179504595,"Mcc":655,"Mnc":"01","MsgCount":1,"Msisdn":"2782000'
    middle = '","Received":1530013907,"UserReference":"'
    tail = '"}'
end

function request()
    return head .. format("%04d", random(0, 9999)) .. middle
        .. format("%08x%08x%08x", random(0, 4294967295), random(0, 4294967295), random(0, 4294967295)) .. tail
end

function done(summary, latency, requests)
    local e = summary.errors
    io.write(format('\nRESULT {"requests": %d, "us": %d, "bad_status": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
        summary.requests, summary.duration, e.status, e.connect, e.read, e.write, e.timeout,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
