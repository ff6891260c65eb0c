%%% The golden vectors, test/wire_vectors.json, for the test suites.
%%%
%%% Called by: every suite of a codec. Calls: nothing of ours. OTP 25 has no JSON module, so here is as
%%% much of one as the file needs: objects, arrays, strings, integers, true, false and null.
-module(wire_vectors).

-export([read/1, bytes/1, term/1]).

-define(FILE_NAME, "wire_vectors.json").

%% @doc What the file has under a key: objects as maps with binaries as keys.
-spec read(binary()) -> term().
read(Key) ->
    {ok, Text} = file:read_file(path()),
    {#{Key := Value}, _} = json(space(Text)),
    Value.

%% @doc The bytes of a hex text: blanks mean nothing, XX*N stands for N times the byte XX.
-spec bytes(binary()) -> binary().
bytes(Hex) ->
    << <<(part(Part))/binary>> || Part <- binary:split(Hex, <<" ">>, [global, trim_all]) >>.

part(Part) ->
    case binary:split(Part, <<"*">>) of
        [Bytes] -> binary:decode_hex(Bytes);
        [Byte, Times] -> binary:copy(binary:decode_hex(Byte), binary_to_integer(Times))
    end.

%% @doc The value of an Erlang expression.
-spec term(binary()) -> term().
term(Text) ->
    {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Text) ++ "."),
    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
    {value, Term, _} = erl_eval:exprs(Expressions, []),
    Term.

%% The suites run from the project's root, or beside their sources or their copies in _build.
path() ->
    Folders = [filename:join(element(2, file:get_cwd()), "test"),
               filename:dirname(proplists:get_value(source, ?MODULE:module_info(compile))),
               filename:dirname(code:which(?MODULE))],
    [Path | _] = [Path || Folder <- Folders, Path <- [filename:join(Folder, ?FILE_NAME)],
                          filelib:is_regular(Path)],
    Path.

json(<<"{", R/binary>>) -> object(space(R), #{});
json(<<"[", R/binary>>) -> array(space(R), []);
json(<<"\"", R/binary>>) -> string(R, <<>>);
json(<<"true", R/binary>>) -> {true, space(R)};
json(<<"false", R/binary>>) -> {false, space(R)};
json(<<"null", R/binary>>) -> {null, space(R)};
json(<<"-", R/binary>>) -> {I, R1} = json(R), {-I, R1};
json(<<C, R/binary>>) when C >= $0, C =< $9 -> integer(R, C - $0).

object(<<"}", R/binary>>, Map) ->
    {Map, space(R)};
object(Bytes, Map) ->
    {Key, <<":", R/binary>>} = json(Bytes),
    {Value, R1} = json(space(R)),
    object(comma(R1), Map#{Key => Value}).

array(<<"]", R/binary>>, Acc) ->
    {lists:reverse(Acc), space(R)};
array(Bytes, Acc) ->
    {Value, R} = json(Bytes),
    array(comma(R), [Value | Acc]).

comma(<<",", R/binary>>) -> space(R);
comma(R) -> R.

string(<<"\"", R/binary>>, Acc) -> {Acc, space(R)};
string(<<"\\u", Hex:4/binary, R/binary>>, Acc) -> string(R, <<Acc/binary, (binary_to_integer(Hex, 16))/utf8>>);
string(<<"\\n", R/binary>>, Acc) -> string(R, <<Acc/binary, "\n">>);
string(<<"\\t", R/binary>>, Acc) -> string(R, <<Acc/binary, "\t">>);
string(<<"\\", C, R/binary>>, Acc) -> string(R, <<Acc/binary, C>>);
string(<<C/utf8, R/binary>>, Acc) -> string(R, <<Acc/binary, C/utf8>>).

integer(<<C, R/binary>>, I) when C >= $0, C =< $9 -> integer(R, I * 10 + C - $0);
integer(R, I) -> {I, space(R)}.

space(<<C, R/binary>>) when C =:= $\s; C =:= $\n; C =:= $\r; C =:= $\t -> space(R);
space(R) -> R.
