%%% The head of an HTTP/1 request from bytes: request line and fields, in their order (RFC 9112, 2 to 6).
%%%
%%% Called by: hornbeam_http1. Calls: hornbeam_http1_target, hornbeam_authority, hornbeam_hygiene (strict_target). Pure and incremental: whatever the pieces in
%%% which the bytes come, the answer is the same.
%%%
%%%     feed(Bytes, Parser) -> {ok, #head{}, Rest, Parser} | {more, Parser} | {http2, Bytes} | {refuse, Reason}
%%%
%%% A head that comes whole is read in one pass over its bytes. Most clients repeat the fields of the request before: they are compared with
%%% these, which costs a tenth. Of one that comes in pieces the line that is not complete is kept as text
%%% and read from its beginning when its LF is here, when it would pass a limit, and each time that it has doubled: a client that sends
%%% single bytes costs twice as much per byte, and garbage without an LF is refused soon.
%%%
%%% Limits: the request line, one value, a name, the number of fields, all of them together (whole lines); each is known as soon as it is
%%% passed, also in the middle of a line. Of two things that are wrong with a line the one that came first is the answer.
%%%
%%% What framing depends on has one reading or none: two lengths, a length and a coding, a coding in HTTP/1.0, one that does not end in
%%% chunked, whitespace around names, a folded line, LF or CR alone are refused (400); other codings are not implemented (501), and neither
%%% are CONNECT and TRACE.
-module(hornbeam_http1_head).

-export([new/1, feed/2, is_begun/1, forget/2]).
-export_type([parser/0, reason/0]).

-include("hornbeam_head.hrl").

-type reason() :: malformed | uri_too_long | header_too_large | not_implemented | http_version | expectation_failed.

-record(parser, {
    max_line :: pos_integer(),
    max_value :: pos_integer(),
    max_fields :: pos_integer(),
    max_size :: pos_integer(),
    strict :: boolean(),
    %% Of the head before:
    known = none :: none | {Fields :: binary(), #head{}},
    %% Of a head that has begun:
    stage = line :: line | fields,
    fields = <<>> :: binary(),              % what begins with its fields, if they come at once and are all there is to know
    partial = <<>> :: binary(),             % the part of a line that is here, with no LF in it
    again = 0 :: non_neg_integer(),         % its size when it is read again
    empty = 0 :: non_neg_integer(),         % lines before the request line
    head :: #head{} | undefined,
    count = 0 :: non_neg_integer(),
    size = 0 :: non_neg_integer(),          % of all lines of fields
    host = 0 :: non_neg_integer(),          % how often these have come
    lengths = 0 :: non_neg_integer(),
    coding = none :: none | chunked,
    options = [] :: [binary()]              % of the connection
}).
-opaque parser() :: #parser{}.

-define(MAX_NAME, 256).
%% RFC 9112, 2.2: some clients send CRLF after a body.
-define(MAX_EMPTY, 5).
%% " HTTP/1.1" and the space before the target.
-define(AROUND_TARGET, 10).
-define(MAX_DIGITS, 18).

-define(IS_NAME(C), (C >= $a andalso C =< $z orelse C =:= $- orelse C >= $A andalso C =< $Z
                     orelse C >= $0 andalso C =< $9 orelse C =:= $_)).
%% RFC 9110, 5.6.2: what else a token may hold.
-define(IS_SIGN(C), (C =:= $! orelse C =:= $# orelse C =:= $$ orelse C =:= $% orelse C =:= $& orelse C =:= $'
                     orelse C =:= $* orelse C =:= $+ orelse C =:= $. orelse C =:= $^ orelse C =:= $`
                     orelse C =:= $| orelse C =:= $~)).
%% RFC 9110, 5.5: visible characters, space, tab and bytes above 127.
-define(IS_TEXT(C), C >= 32, C =/= 127).

%% @doc A parser for the heads of a connection. Settings: max_request_line, max_header_size, max_headers, max_head_size (octets,
%% but for the number max_headers) and strict_target.
-spec new(map()) -> parser().
new(#{max_request_line := Line, max_header_size := Value, max_headers := Fields, max_head_size := Size,
      strict_target := Strict}) ->
    #parser{max_line = Line, max_value = Value, max_fields = Fields, max_size = Size, strict = Strict}.

%% @doc Whether a part of a head is here.
-spec is_begun(parser()) -> boolean().
is_begun(#parser{stage = line, partial = <<>>}) -> false;
is_begun(#parser{}) -> true.

%% @doc Lets go of what is known of the head before: New (what new/1 made, which connections share) serves as well, unless something has come.
-spec forget(parser(), New :: parser()) -> parser().
forget(#parser{stage = line, empty = 0, partial = <<>>}, New) -> New;
forget(Parser, _New) -> Parser#parser{known = none}.

%% @doc Takes further bytes. With `ok' comes the parser of the next head. http2: they begin with the preface of HTTP/2.
-spec feed(binary(), parser()) -> {ok, #head{}, Rest :: binary(), parser()} | {more, parser()} | {http2, binary()} | {refuse, reason()}.
feed(Bytes, #parser{partial = <<>>} = Parser) ->
    read(Bytes, Parser);
feed(Bytes, #parser{partial = Partial, again = Again} = Parser) ->
    Line = <<Partial/binary, Bytes/binary>>,
    case byte_size(Line) >= Again orelse has_lf(Bytes) of
        true -> read(Line, Parser#parser{partial = <<>>});
        false -> {more, Parser#parser{partial = Line}}
    end.

%% Not binary:match/2, which takes a whole time slice for a single octet.
has_lf(<<$\n, _/bits>>) -> true;
has_lf(<<_, Rest/bits>>) -> has_lf(Rest);
has_lf(<<>>) -> false.

read(Bytes, #parser{stage = line} = Parser) -> request_line(Bytes, Parser);
read(Bytes, #parser{stage = fields, head = Head} = Parser) -> field(Bytes, Head, Parser).

%% Kept until more of it is here, unless it is longer than it may be. Copied: it may be a few bytes of a large read.
hold(Line, Max, Parser) ->
    case byte_size(Line) of
        Size when Size > Max -> too_large(Parser);
        Size -> {more, Parser#parser{partial = binary:copy(Line), again = min(2 * Size, Max + 1), fields = <<>>}}
    end.

%% An octet that may not be where it is, after so many that may; they may already be too many.
wrong(Good, Max, Parser) when Good > Max -> too_large(Parser);
wrong(_Good, _Max, _Parser) -> {refuse, malformed}.

too_large(#parser{stage = line}) -> {refuse, uri_too_long};
too_large(#parser{stage = fields}) -> {refuse, header_too_large}.

%%% The request line (RFC 9112, 3)

request_line(<<"GET ", Rest/bits>> = Line, Parser) -> target(Rest, <<"GET">>, Line, Parser);
request_line(<<"POST ", Rest/bits>> = Line, Parser) -> target(Rest, <<"POST">>, Line, Parser);
request_line(<<"PUT ", Rest/bits>> = Line, Parser) -> target(Rest, <<"PUT">>, Line, Parser);
request_line(<<"DELETE ", Rest/bits>> = Line, Parser) -> target(Rest, <<"DELETE">>, Line, Parser);
request_line(<<"PATCH ", Rest/bits>> = Line, Parser) -> target(Rest, <<"PATCH">>, Line, Parser);
request_line(<<"HEAD ", Rest/bits>> = Line, Parser) -> target(Rest, <<"HEAD">>, Line, Parser);
request_line(<<"OPTIONS ", Rest/bits>> = Line, Parser) -> target(Rest, <<"OPTIONS">>, Line, Parser);
request_line(<<"\r\n", _/bits>>, #parser{empty = ?MAX_EMPTY}) -> {refuse, malformed};
request_line(<<"\r\n", Rest/bits>>, #parser{empty = Empty} = Parser) -> request_line(Rest, Parser#parser{empty = Empty + 1});
request_line(<<"\r">> = Line, Parser) -> hold(Line, 1, Parser);
request_line(<<"PRI * HTTP/2.0\r\n", Rest/bits>> = Line, #parser{empty = 0} = Parser) -> preface(Rest, Line, Parser);
request_line(<<>>, Parser) -> {more, Parser};
request_line(Line, Parser) -> method(Line, Line, 0, Parser).

%% RFC 9113, 3.4.
preface(<<"\r\nSM\r\n\r\n", _/bits>>, Line, _Parser) ->
    {http2, Line};
preface(Rest, Line, Parser) ->
    case binary:longest_common_prefix([Rest, <<"\r\nSM\r\n\r\n">>]) of
        Size when Size =:= byte_size(Rest) -> {more, Parser#parser{partial = Line, again = 0}};
        _ -> {refuse, http_version}
    end.

method(<<C, Rest/bits>>, Line, Size, Parser) when ?IS_NAME(C); ?IS_SIGN(C) -> method(Rest, Line, Size + 1, Parser);
method(<<$\s, Rest/bits>>, Line, Size, Parser) when Size > 0 -> target(Rest, first(Size, Line), Line, Parser);
method(<<>>, Line, _Size, Parser) -> hold_line(Line, Parser);
method(Rest, Line, _Size, Parser) -> wrong_line(Rest, Line, Parser).

target(<<$/, _/bits>> = Target, Method, Line, Parser) -> path(Target, Target, 0, Method, Line, Parser);
target(<<>>, _Method, Line, Parser) -> hold_line(Line, Parser);
target(Target, Method, Line, Parser) -> rare_target(Target, Target, 0, Method, Line, Parser).

%% What browsers send (the URL standard of the WHATWG): everything but control characters, space and "#". hornbeam_scope decodes.
path(<<C, Rest/bits>>, Target, Size, Method, Line, Parser) when C > 32, C =/= $?, C =/= $#, C =/= 127 ->
    path(Rest, Target, Size + 1, Method, Line, Parser);
path(<<$\s, Rest/bits>>, Target, Size, Method, Line, Parser) ->
    version(Rest, Method, first(Size, Target), <<>>, Line, Parser);
path(<<$?, Rest/bits>>, Target, Size, Method, Line, Parser) ->
    query(Rest, Rest, 0, Method, first(Size, Target), Line, Parser);
path(<<>>, _Target, _Size, _Method, Line, Parser) ->
    hold_line(Line, Parser);
path(Rest, _Target, _Size, _Method, Line, Parser) ->
    wrong_line(Rest, Line, Parser).

query(<<C, Rest/bits>>, Query, Size, Method, Path, Line, Parser) when C > 32, C =/= $#, C =/= 127 ->
    query(Rest, Query, Size + 1, Method, Path, Line, Parser);
query(<<$\s, Rest/bits>>, Query, Size, Method, Path, Line, Parser) ->
    version(Rest, Method, Path, first(Size, Query), Line, Parser);
query(<<>>, _Query, _Size, _Method, _Path, Line, Parser) ->
    hold_line(Line, Parser);
query(Rest, _Query, _Size, _Method, _Path, Line, Parser) ->
    wrong_line(Rest, Line, Parser).

version(<<"HTTP/1.1\r\n", Rest/bits>>, Method, Path, Query, Line, Parser) ->
    start(Rest, byte_size(Line) - byte_size(Rest) - 2, Method, Path, Query, 'HTTP/1.1', Parser);
version(<<"HTTP/1.0\r\n", Rest/bits>>, Method, Path, Query, Line, Parser) ->
    start(Rest, byte_size(Line) - byte_size(Rest) - 2, Method, Path, Query, 'HTTP/1.0', Parser);
%% RFC 9110, 2.5: a minor version that is not known yet is read as the highest that is.
version(<<"HTTP/1.", Minor, "\r\n", Rest/bits>>, Method, Path, Query, Line, Parser) when Minor >= $2, Minor =< $9 ->
    start(Rest, byte_size(Line) - byte_size(Rest) - 2, Method, Path, Query, 'HTTP/1.1', Parser);
version(Rest, _Method, _Path, _Query, Line, #parser{max_line = Max} = Parser) ->
    Before = byte_size(Line) - byte_size(Rest),
    case fitting(Rest, <<"HTTP/0.0\r\n">>, 0) of
        10 when Before + 8 > Max -> {refuse, uri_too_long};
        10 -> {refuse, http_version};
        9 when byte_size(Rest) =:= 9 -> hold(Line, Max + 1, Parser);
        Size when byte_size(Rest) =:= Size -> hold_line(Line, Parser);
        Size -> wrong(Before + min(8, Size), Max, Parser)
    end.

%% How many octets are those of a version and the end of its line; 0 stands for any digit.
fitting(<<C, Rest/bits>>, <<$0, Form/bits>>, Size) when C >= $0, C =< $9 -> fitting(Rest, Form, Size + 1);
fitting(<<C, Rest/bits>>, <<C, Form/bits>>, Size) when C =/= $0 -> fitting(Rest, Form, Size + 1);
fitting(_, _, Size) -> Size.

hold_line(Line, #parser{max_line = Max} = Parser) -> hold(Line, Max, Parser).

wrong_line(Rest, Line, #parser{max_line = Max} = Parser) -> wrong(byte_size(Line) - byte_size(Rest), Max, Parser).

%% The other forms of a target (RFC 9112, 3.2.2 to 3.2.4) are looked at when the whole line is here.
rare_target(<<C, Rest/bits>>, Target, Size, Method, Line, Parser) when C > 32, C =/= $#, C =/= 127 ->
    rare_target(Rest, Target, Size + 1, Method, Line, Parser);
rare_target(<<$\s, Rest/bits>>, Target, Size, Method, Line, Parser) when Size > 0 ->
    version(Rest, Method, {form, first(Size, Target)}, <<>>, Line, Parser);
rare_target(<<>>, _Target, _Size, _Method, Line, Parser) ->
    hold_line(Line, Parser);
rare_target(Rest, _Target, _Size, _Method, Line, Parser) ->
    wrong_line(Rest, Line, Parser).

%% Not binary:part/3, a function of the VM's that cannot collect garbage and so may leave a fragment of a heap behind.
first(Size, Bytes) ->
    <<First:Size/binary, _/bits>> = Bytes,
    First.

start(_Rest, Size, _Method, _Path, _Query, _Version, #parser{max_line = Max}) when Size > Max ->
    {refuse, uri_too_long};
start(_Rest, _Size, Method, _Path, _Query, _Version, _Parser) when Method =:= <<"CONNECT">>; Method =:= <<"TRACE">> ->
    {refuse, not_implemented};
start(Rest, _Size, Method, {form, Target}, _Query, Version, Parser) ->
    case hornbeam_http1_target:parse(Target, Method) of
        {ok, Authority, Path, Query} -> begin_fields(Rest, Method, Path, Query, Version, Authority, Parser);
        error -> {refuse, malformed}
    end;
start(Rest, _Size, Method, Path, Query, Version, Parser) ->
    begin_fields(Rest, Method, Path, Query, Version, undefined, Parser).

begin_fields(Rest, Method, Path, Query, Version, Authority, #parser{strict = Strict} = Parser) ->
    case not Strict orelse hornbeam_hygiene:is_uri(Path) andalso hornbeam_hygiene:is_uri(Query) of
        true ->
            case known(Rest, Version, Authority, Parser) of
                {Head, After} ->
                    {ok, Head#head{method = Method, path = Path, query = Query}, After, Parser};
                unknown ->
                    Head = #head{method = Method, path = Path, query = Query, version = Version, host = Authority},
                    Whole = case Authority of undefined -> Rest; _ -> <<>> end,
                    field(Rest, Head, Parser#parser{stage = fields, fields = Whole})
            end;
        false ->
            {refuse, malformed}
    end.

%% The same octets mean the same, unless the request line has a word in it.
known(Bytes, Version, undefined, #parser{empty = 0, known = {Fields, #head{version = Version} = Head}}) ->
    Size = byte_size(Fields),
    case Bytes of
        <<Fields:Size/binary, Rest/bits>> -> {Head, Rest};
        _ -> unknown
    end;
known(_Bytes, _Version, _Authority, _Parser) ->
    unknown.

%%% The fields (RFC 9112, 5)

field(<<"\r\n", Rest/bits>>, Head, Parser) ->
    finish(Head, Rest, Parser);
field(Line, _Head, #parser{count = Max, max_fields = Max}) when Line =/= <<>>, Line =/= <<"\r">> ->
    {refuse, header_too_large};
field(<<"\r">> = Line, Head, Parser) ->
    hold(Line, 1, Parser#parser{head = Head});
field(Line, Head, Parser) ->
    name(Line, Line, 0, Head, Parser).

name(<<C, Rest/bits>>, Line, Size, Head, Parser) when ?IS_NAME(C) -> name(Rest, Line, Size + 1, Head, Parser);
name(<<$:, Rest/bits>>, Line, Size, Head, Parser) when Size > 0, Size =< ?MAX_NAME ->
    value_start(Rest, Line, Size, Head, Parser);
name(<<C, Rest/bits>>, Line, Size, Head, Parser) when ?IS_SIGN(C) -> name(Rest, Line, Size + 1, Head, Parser);
name(<<>>, Line, _Size, Head, Parser) -> hold(Line, min(?MAX_NAME, left(Parser)), Parser#parser{head = Head});
name(_, _Line, Size, _Head, Parser) -> wrong(Size, min(?MAX_NAME, left(Parser)), Parser).

%% How many octets of fields there may still be.
left(#parser{max_size = Max, size = Size}) -> Max - Size.

value_start(<<C, Rest/bits>>, Line, NameSize, Head, Parser) when C =:= $\s; C =:= $\t ->
    value_start(Rest, Line, NameSize, Head, Parser);
value_start(Value, Line, NameSize, Head, Parser) ->
    value(Value, Value, 0, Line, NameSize, Head, Parser).

%% Four at a time take two thirds of the time.
value(<<A, B, C, D, Rest/bits>>, Value, Size, Line, NameSize, Head, Parser)
        when ?IS_TEXT(A), ?IS_TEXT(B), ?IS_TEXT(C), ?IS_TEXT(D) ->
    value(Rest, Value, Size + 4, Line, NameSize, Head, Parser);
value(<<"\r\n", Rest/bits>>, Value, Size, Line, NameSize, Head, Parser) ->
    end_of_field(Rest, Value, Size, Line, NameSize, Head, Parser);
value(<<C, Rest/bits>>, Value, Size, Line, NameSize, Head, Parser) when ?IS_TEXT(C) ->
    value(Rest, Value, Size + 1, Line, NameSize, Head, Parser);
value(<<$\t, Rest/bits>>, Value, Size, Line, NameSize, Head, Parser) ->
    value(Rest, Value, Size + 1, Line, NameSize, Head, Parser);
value(Rest, Value, _Size, Line, _NameSize, Head, #parser{max_value = Max} = Parser) ->
    %% CR, and LF is to come or should have.
    Cr = case Rest of <<"\r", _/bits>> -> 1; _ -> 0 end,
    Most = min(byte_size(Line) - byte_size(Value) + Max + Cr, left(Parser)),
    case byte_size(Rest) =:= Cr of
        true -> hold(Line, Most, Parser#parser{head = Head});
        false -> wrong(byte_size(Line) - byte_size(Rest) + Cr, Most, Parser)
    end.

end_of_field(_Rest, _Value, Size, _Line, _NameSize, _Head, #parser{max_value = Max}) when Size > Max ->
    {refuse, header_too_large};
end_of_field(Rest, Value0, ValueSize, Line, NameSize, Head, #parser{size = Size0, count = Count, max_size = Max} = Parser0) ->
    case Size0 + byte_size(Line) - byte_size(Rest) of
        Size when Size > Max ->
            {refuse, header_too_large};
        Size ->
            <<Raw:NameSize/binary, _/bits>> = Line,
            Value = hornbeam_headers:trim_end(Value0, ValueSize),
            Parser = Parser0#parser{size = Size, count = Count + 1},
            case hornbeam_field_names:canonical(Raw) of
                {special, Name} -> special(Name, Value, add(Name, Value, Head), Rest, Parser);
                Name -> field(Rest, add(Name, Value, Head), Parser)
            end
    end.

add(Name, Value, #head{fields = Fields} = Head) ->
    Head#head{fields = [{Name, Value} | Fields]}.

%% What framing, the connection or the protocol depends on.
special(<<"host">>, Value, Head, Rest, #parser{host = 0} = Parser) ->
    case hornbeam_authority:parse(Value) of
        {ok, Authority} -> host(Authority, Value, Head, Rest, Parser#parser{host = 1});
        error -> {refuse, malformed}
    end;
special(<<"content-length">>, Value, Head, Rest, #parser{lengths = 0, coding = none} = Parser) ->
    case byte_size(Value) =< ?MAX_DIGITS andalso hornbeam_headers:is_digits(Value) of
        true -> field(Rest, Head#head{length = binary_to_integer(Value)}, Parser#parser{lengths = 1});
        false -> {refuse, malformed}
    end;
special(<<"transfer-encoding">>, Value, #head{version = 'HTTP/1.1'} = Head, Rest, #parser{lengths = 0, coding = none} = Parser) ->
    case hornbeam_headers:lower(Value) of
        <<"chunked">> -> field(Rest, Head#head{length = unknown}, Parser#parser{coding = chunked});
        Other -> {refuse, coding(hornbeam_headers:tokens(Other))}
    end;
special(<<"connection">>, Value, Head, Rest, #parser{options = Before} = Parser) ->
    case hornbeam_headers:tokens(Value) of
        {ok, Options} -> field(Rest, Head, Parser#parser{options = Options ++ Before});
        error -> {refuse, malformed}
    end;
special(<<"expect">>, Value, #head{version = 'HTTP/1.1'} = Head, Rest, Parser) ->
    case hornbeam_headers:lower(Value) of
        <<"100-continue">> -> field(Rest, Head#head{expect = continue}, Parser);
        _ -> {refuse, expectation_failed}
    end;
special(<<"upgrade">>, Value, Head, Rest, Parser) ->
    field(Rest, Head#head{upgrade = joined(Head#head.upgrade, Value)}, Parser);
special(<<"te">>, Value, Head, Rest, Parser) ->
    field(Rest, Head#head{te = joined(Head#head.te, Value)}, Parser);
special(<<"expect">>, _Value, Head, Rest, Parser) ->
    field(Rest, Head, Parser);
%% A second Host or Content-Length, or both framings: there is no safe reading.
special(_Name, _Value, _Head, _Rest, _Parser) ->
    {refuse, malformed}.

%% RFC 9112, 3.2.2: the authority of an absolute target is the one that counts; a Host that differs is somebody's mistake or attack.
host(_Authority, Value, #head{host = undefined} = Head, Rest, Parser) ->
    field(Rest, Head#head{host = Value}, Parser);
host(Authority, Value, #head{host = OfTarget} = Head, Rest, Parser) ->
    case hornbeam_authority:parse(OfTarget) of
        {ok, Authority} -> field(Rest, Head#head{host = Value}, Parser);
        {ok, _} -> {refuse, malformed}
    end.

%% RFC 9112, 6.1 and 6.3: what ends in chunked, once, has an end that can be found, but is not known here.
coding({ok, [_ | _] = Codings}) ->
    case [Coding || <<"chunked">> = Coding <- Codings] =:= [lists:last(Codings)] of
        true when length(Codings) > 1 -> not_implemented;
        _ -> malformed
    end;
coding(_) ->
    malformed.

joined(undefined, Value) -> Value;
joined(Before, Value) -> <<Before/binary, ", ", Value/binary>>.

finish(#head{version = 'HTTP/1.1'}, _Rest, #parser{host = 0}) ->
    {refuse, malformed};
finish(#head{fields = Fields, version = Version} = Head0, Rest, #parser{options = Options} = Parser) ->
    Head = Head0#head{fields = lists:reverse(Fields), persistent = is_persistent(Options, Version)},
    {ok, Head, Rest, next(Head, Rest, Parser)}.

%% What was read together with more is not kept: it may be a part of a large read.
next(Head, <<>>, #parser{fields = Fields} = Parser) when Fields =/= <<>> -> begin_again({Fields, Head}, Parser);
next(_Head, _Rest, Parser) -> begin_again(none, Parser).

begin_again(Known, #parser{max_line = Line, max_value = Value, max_fields = Fields, max_size = Size, strict = Strict}) ->
    #parser{max_line = Line, max_value = Value, max_fields = Fields, max_size = Size, strict = Strict, known = Known}.

%% RFC 9112, 9.3: "close" wins; HTTP/1.0 goes on only where the client asks for it.
is_persistent([], Version) -> Version =:= 'HTTP/1.1';
is_persistent(Options, Version) ->
    not lists:member(<<"close">>, Options) andalso (Version =:= 'HTTP/1.1' orelse lists:member(<<"keep-alive">>, Options)).
