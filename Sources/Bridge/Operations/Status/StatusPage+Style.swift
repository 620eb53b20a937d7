extension StatusPage {
    /// No colour says anything that no word says.
    static let style = """
        :root{--bg:#f4f5f7;--card:#fff;--ink:#1b2430;--dim:#5b6675;--rule:#e3e6eb;--good:#1a7f4b;--warn:#9a4d00;--bad:#c6262e;\
        --mild:#7a4bc2;--head:#1a7f4b;--mono:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
        body.warning{--head:#9a4d00}body.critical{--head:#b3202a}
        @media (prefers-color-scheme:dark){
        :root{--bg:#0f141a;--card:#182029;--ink:#e6eaf0;--dim:#98a4b3;--rule:#2a3541;--good:#4cc38a;--warn:#f0a64a;--bad:#ff7b7b;\
        --mild:#b794f6;--head:#155f3b}
        body.warning{--head:#7a4100}body.critical{--head:#8c1b23}}
        *{box-sizing:border-box}
        html{-webkit-text-size-adjust:100%;background:var(--bg)}
        body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",\
        Arial,sans-serif;font-variant-numeric:tabular-nums}
        .wide{max-width:1120px;margin:0 auto;padding:0 20px}
        header{background:var(--head);color:#fff;padding:18px 0 22px}
        .who{display:flex;flex-wrap:wrap;gap:2px 18px;margin:0 0 14px;font-size:13px;opacity:.92}.time{margin-left:auto}
        h1{margin:0;font-size:30px;line-height:1.2;font-weight:650;letter-spacing:-.01em}
        .sub{margin:6px 0 0;font-size:16px;opacity:.95}
        section{margin:26px 0 0}
        h2{margin:0 0 10px;font-size:13px;font-weight:650;color:var(--dim);text-transform:uppercase;letter-spacing:.06em}
        h3{margin:0;font-size:14px;font-weight:600}
        .card{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:16px 18px}
        .card.flush{padding:4px 18px}
        .findings{list-style:none;margin:0;padding:0;display:grid;gap:10px}
        .findings li{background:var(--card);border:1px solid var(--rule);border-left:5px solid var(--dim);border-radius:10px;\
        padding:13px 18px 14px}
        .findings .critical{border-left-color:var(--bad)}.findings .warning{border-left-color:var(--warn)}
        .findings h3{font-size:17px;line-height:1.35;overflow-wrap:anywhere}
        .findings p{margin:4px 0 0;max-width:80ch;overflow-wrap:anywhere}
        .findings .tag{display:flex;flex-wrap:wrap;gap:2px 12px;justify-content:space-between;margin:0 0 3px;max-width:none;\
        font-size:12px;color:var(--dim)}
        .tag b{text-transform:uppercase;letter-spacing:.06em}
        li.critical .tag b{color:var(--bad)}li.warning .tag b{color:var(--warn)}
        code{font-family:var(--mono);font-size:.93em}
        .graphs{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:14px}
        .big{margin:2px 0 8px;font-size:26px;line-height:1.2;font-weight:650;letter-spacing:-.01em}.big.bad{color:var(--bad)}
        .big small{font-size:13px;font-weight:400;color:var(--dim);letter-spacing:0}
        .plot{position:relative;border-bottom:1px solid var(--rule)}
        .plot svg{display:block;width:100%;height:96px;overflow:hidden}
        .plot span{position:absolute;left:0;font-size:11px;line-height:1;color:var(--dim);background:var(--card);padding-right:5px}
        .top{top:0}.m100{top:calc(29.6% - 5px)}.m10{top:calc(57.4% - 5px)}.m1{top:calc(85.2% - 5px)}
        .mark{stroke:var(--rule);stroke-width:1;fill:none;vector-effect:non-scaling-stroke}
        .line{fill:none;stroke-width:1.75;stroke-linejoin:round;vector-effect:non-scaling-stroke}
        .area{stroke:none;opacity:.16}
        .line.good{stroke:var(--good)}.line.bad{stroke:var(--bad)}.line.mild{stroke:var(--mild)}
        .area.good{fill:var(--good)}.area.bad{fill:var(--bad)}.area.mild{fill:var(--mild)}
        .plot+.axis .key{font-weight:600}.key.good{color:var(--good)}.key.mild{color:var(--mild)}
        .axis{display:flex;justify-content:space-between;gap:10px;margin:5px 0 0;font-size:12px;color:var(--dim)}
        table{width:100%;border-collapse:collapse;font-size:14px}
        th,td{padding:8px 12px 8px 0;text-align:left;vertical-align:baseline;border-top:1px solid var(--rule)}
        th:last-child,td:last-child{padding-right:0}
        thead th{border-top:0;font-size:12px;font-weight:600;color:var(--dim)}
        tbody th{font-weight:600}
        .num{text-align:right}td.num{white-space:nowrap}.none{color:var(--dim)}
        .stack th,.stack td,.stack .num{text-align:left}
        td.ok span:before,td.bad span:before,td.warn span:before{content:"";display:inline-block;width:8px;height:8px;margin-right:7px;\
        border-radius:50%;background:var(--good)}
        td.bad span:before{background:var(--bad)}td.warn span:before{background:var(--warn)}td.bad{color:var(--bad)}
        .pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:14px;margin-top:26px;align-items:start}
        .pair section{margin:0;height:100%}
        .pair tbody th{font-weight:400}
        dl{margin:0;font-size:14px}
        dl div{display:flex;justify-content:space-between;gap:16px;padding:6px 0;border-top:1px solid var(--rule)}
        dl div:first-child{border-top:0}
        dt{color:var(--dim)}dd{margin:0;text-align:right;overflow-wrap:anywhere}
        meter{display:block;width:100%;height:10px;margin:0 0 8px}
        footer{display:flex;flex-wrap:wrap;gap:4px 24px;justify-content:space-between;margin:26px auto 34px;font-size:13px;color:var(--dim)}
        footer p{margin:0}a{color:inherit}a:focus-visible{outline:2px solid var(--mild);outline-offset:2px}
        nav a{margin-right:10px}
        @media (max-width:760px){
        .stack thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
        .stack,.stack tbody,.stack tr,.stack td,.stack tbody th{display:block}
        .stack tr{padding:10px 0;border-top:1px solid var(--rule)}.stack tr:first-child{border-top:0}
        .stack th,.stack td{border:0;padding:2px 0}
        .stack tbody th{font-size:15px}
        .stack td{display:flex;justify-content:space-between;gap:16px}
        .stack td:before{content:attr(data-label);color:var(--dim)}
        .stack td.none{display:none}
        .stack td span{text-align:right}
        .pair table th,.pair table td{padding-right:8px}}
        @media (max-width:480px){h1{font-size:25px}.wide{padding:0 14px}.time{margin-left:0}.card{padding:14px}.findings li{padding:12px 14px}}

        """
}
